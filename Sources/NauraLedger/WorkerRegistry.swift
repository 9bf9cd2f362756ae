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
    /// `starting`, `running` or `draining`.
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

/// Something that workers of a kind do: a stage on its topic, or jobs of a kind.
public struct WorkerDuty: Sendable, Equatable {
    public enum Kind: String, Sendable { case stage, job }

    public let worker: String
    public let kind: Kind
    /// The stage's name, or the kind of job.
    public let name: String
    /// The topic that the stage reads; nil for jobs.
    public let topic: String?

    public init(worker: String, kind: Kind, name: String, topic: String? = nil) {
        self.worker = worker
        self.kind = kind
        self.name = name
        self.topic = topic
    }
}

/// The registry of worker instances.
public enum WorkerRegistry {
    /// Seconds without a report after which an instance counts as gone.
    public static let silenceSeconds = 10.0

    /// Seconds without a report after which an instance is forgotten.
    public static let forgottenSeconds = 300.0

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

    /// Forgets `instance`: it has ended in order.
    public static func leave(_ instance: String, in database: Database) async throws {
        _ = try await database.update("delete from ledger.worker where instance = \(instance)")
    }

    /// Forgets instances that have said nothing for ``forgottenSeconds``: they were killed, or their machine was. One
    /// that was frozen is there again with its next report.
    public static func prune(in database: Database) async throws {
        _ = try await database.update(
            "delete from ledger.worker where seen_at < now() - make_interval(secs => \(forgottenSeconds))")
    }

    /// Puts on record what workers of the kind `worker` do; the instance that started last has the say.
    public static func declare(_ duties: [WorkerDuty], of worker: String, in database: Database) async throws {
        _ = try await database.update(
            """
            with given as (
                select * from unnest(
                    \(duties.map(\.kind.rawValue)), \(duties.map(\.name)), \(duties.map(\.topic))) as d(kind, name, topic)
            ), gone as (
                delete from ledger.duty d where worker = \(worker)
                and not exists (select 1 from given g where g.kind = d.kind and g.name = d.name)
            )
            insert into ledger.duty (worker, kind, name, topic) select \(worker), kind, name, topic from given
            on conflict (worker, kind, name) do update set topic = excluded.topic
            """)
    }
}

/// The broker last seen.
public enum BrokerRecord {
    /// Seconds without an answer of the broker after which it counts as away, if somebody asks it.
    public static let silenceSeconds = 10.0

    /// Notes that the broker has answered just now. Of many workers that ask each second one writes every other second.
    public static func touch(in database: Database) async throws {
        _ = try await database.update(
            "update ledger.broker set seen_at = now() where seen_at < now() - interval '2 seconds'")
    }

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
