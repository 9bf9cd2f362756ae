// Which worker instances live, as each last said of itself; and which broker they talk to.

import Foundation
import NauraPostgres

/// What a worker says of itself.
public struct WorkerReport: Sendable {
    public let instance: String
    public let name: String
    public let host: String
    public let pid: Int
    /// Where its health and metrics are, as `host:port`; nil when it serves none.
    public let address: String?
    /// `starting`, `running`, `draining` or `stopped`.
    public let state: String
    /// Events of its partitions that it has not handled.
    public let lag: Int
    /// Partitions and jobs it holds, as JSON texts.
    public let assignments: [String]

    public init(
        instance: String, name: String, host: String, pid: Int, address: String?, state: String, lag: Int,
        assignments: [String]
    ) {
        self.instance = instance
        self.name = name
        self.host = host
        self.pid = pid
        self.address = address
        self.state = state
        self.lag = lag
        self.assignments = assignments
    }
}

/// The registry of worker instances.
public enum WorkerRegistry {
    /// Seconds without a report after which an instance counts as gone.
    public static let silenceSeconds = 10.0

    /// Stores `report` as the instance's latest.
    public static func report(_ report: WorkerReport, in database: Database) async throws {
        _ = try await database.update(
            """
            insert into ledger.worker (instance, name, host, pid, address, state, lag, assignments)
            values (\(report.instance), \(report.name), \(report.host), \(report.pid)::int, \(report.address),
                \(report.state), \(report.lag), \(json: report.assignments))
            on conflict (instance) do update set state = excluded.state, lag = excluded.lag,
                address = excluded.address, assignments = excluded.assignments, seen_at = now()
            """)
    }

    /// Removes instances that have been silent for `hours`.
    public static func prune(silentHours hours: Int = 24, in database: Database) async throws {
        _ = try await database.update(
            "delete from ledger.worker where seen_at < now() - make_interval(hours => \(hours)::int)")
    }
}

/// The broker last seen.
public enum BrokerRecord {
    /// Compares `clusterID` with the broker last seen, and stores it.
    ///
    /// When it differs the broker is another one, or came back empty: all streams are rewound in the same
    /// transaction, so exactly one of many workers that notice starts the refill.
    /// - Returns: true when the streams were rewound.
    public static func observe(_ clusterID: String, in database: Database) async throws -> Bool {
        let known = try await database.query("select cluster_id from ledger.broker").first
        if try known?.get("cluster_id", as: String.self) == clusterID { return false }
        return try await database.transaction { transaction in
            _ = try await transaction.query("select pg_advisory_xact_lock(hashtextextended('ledger.broker', 0))")
            let known = try await transaction.first("select cluster_id from ledger.broker for update")
            let previous = try known?.get("cluster_id", as: String.self)
            guard previous != clusterID else { return false }
            try await transaction.execute(
                """
                insert into ledger.broker (cluster_id) values (\(clusterID))
                on conflict (is_single) do update set cluster_id = excluded.cluster_id, seen_at = now()
                """)
            guard previous != nil else { return false }
            try await Streams.rewind(in: transaction)
            try await transaction.notify("naura_outbox", "rewound")
            return true
        }
    }
}
