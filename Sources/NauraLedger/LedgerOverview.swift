// What people and programs ask of the ledger: the latest events, who works, what waits, what failed.

import Foundation
import NauraEvents
import NauraPostgres

/// An event as lists show it.
public struct EventRow: Codable, Sendable, Equatable {
    public let id: String
    public let type: String
    public let subject: String
    public let source: String
    public let time: Date
    public let causeID: String?
    public let rootID: String

    private enum CodingKeys: String, CodingKey {
        case id, type, subject, source, time
        case causeID = "cause_id"
        case rootID = "root_id"
    }

    /// An event without a cause says so: programs may rely on every field being there.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encode(type, forKey: .type)
        try container.encode(subject, forKey: .subject)
        try container.encode(source, forKey: .source)
        try container.encode(time, forKey: .time)
        try container.encode(causeID, forKey: .causeID)
        try container.encode(rootID, forKey: .rootID)
    }
}

/// A worker instance that has spoken lately.
public struct WorkerRow: Codable, Sendable, Equatable {
    public let name: String
    public let instance: String
    public let host: String
    public let pid: Int
    /// What it last said, or `silent` when it has said nothing for ``WorkerRegistry/silenceSeconds``.
    public let state: String
    /// Events of its partitions that it has not handled.
    public let lag: Int
    public let address: String?
    public let startedAt: Date
    public let seenAt: Date

    private enum CodingKeys: String, CodingKey {
        case name, instance, host, pid, state, lag, address
        case startedAt = "started_at"
        case seenAt = "seen_at"
    }
}

/// A job that waits, runs, or has ended.
public struct JobRow: Codable, Sendable, Equatable {
    public let id: Int
    public let kind: String
    public let key: String
    public let state: String
    /// The instance that holds its lease, or held it last.
    public let owner: String?
    public let progress: String?
    public let tries: Int
    public let dueAt: Date
    public let startedAt: Date?
    public let endedAt: Date?
    public let failure: String?
    public let rootID: String?

    private enum CodingKeys: String, CodingKey {
        case id, kind, key, state, owner, progress, tries, failure
        case dueAt = "due_at"
        case startedAt = "started_at"
        case endedAt = "ended_at"
        case rootID = "root_id"
    }
}

/// Whether a server that Naura leans on is there.
public struct ServerRow: Codable, Sendable, Equatable {
    /// `up`; `away` when it does not answer; `unknown` when nobody has asked it lately.
    public let state: String
    /// The broker's cluster id, or the database's name.
    public let name: String?

    public init(state: String, name: String?) {
        self.state = state
        self.name = name
    }
}

/// One answer to "how is it going".
public struct StatusReport: Codable, Sendable, Equatable {
    public let workers: [WorkerRow]
    public let broker: ServerRow
    public let database: ServerRow
    /// Events that wait to be sent.
    public let outboxDepth: Int
    public let deadLetters: Int

    public init(workers: [WorkerRow], broker: ServerRow, database: ServerRow, outboxDepth: Int, deadLetters: Int) {
        self.workers = workers
        self.broker = broker
        self.database = database
        self.outboxDepth = outboxDepth
        self.deadLetters = deadLetters
    }

    private enum CodingKeys: String, CodingKey {
        case workers, broker, database
        case outboxDepth = "outbox_depth"
        case deadLetters = "dead_letters"
    }
}

/// Reads for people.
public enum LedgerOverview {
    /// The latest `limit` events, oldest first.
    ///
    /// Each stream gives its own latest by its key, so that the cost does not grow with the outbox. An event that a
    /// foreign source published through the outbox stands in two tables and is listed once.
    /// - Parameters:
    ///   - type: only events of this type.
    ///   - root: only events of the chain that this event began.
    public static func events(
        type: String? = nil, root: String? = nil, limit: Int = 100, in database: Database
    ) async throws -> [EventRow] {
        if let root { return try await chain(root, type: type, limit: limit, in: database) }
        let rows = try await database.query(
            """
            select event_id, type, subject, source, time, cause_id, root_id from (
                select o.* from ledger.stream s cross join lateral (
                    select event_id, type, subject, source, time, cause_id, root_id, number from ledger.outbox
                    where stream_id = s.id and (\(type)::text is null or type = \(type))
                    order by number desc limit \(limit)) o
                union all
                select * from (
                    select event_id, type, subject, source, time, cause_id, root_id, 0 from ledger.foreign_event e
                    where (\(type)::text is null or type = \(type))
                    and not exists (
                        select 1 from ledger.outbox o where o.root_id = e.root_id and o.event_id = e.event_id)
                    order by received_at desc limit \(limit)) f
            ) latest order by time desc, number desc, event_id limit \(limit)
            """)
        return try rows.reversed().map(event)
    }

    private static func chain(
        _ root: String, type: String?, limit: Int, in database: Database
    ) async throws -> [EventRow] {
        let rows = try await database.query(
            """
            select event_id, type, subject, source, time, cause_id, root_id from (
                select event_id, type, subject, source, time, cause_id, root_id, stream_id, number
                from ledger.outbox where root_id = \(root)
                union all
                select event_id, type, subject, source, time, cause_id, root_id, 0, 0
                from ledger.foreign_event e
                where root_id = \(root)
                and not exists (
                    select 1 from ledger.outbox o where o.root_id = e.root_id and o.event_id = e.event_id)
            ) chain where \(type)::text is null or type = \(type)
            order by time, stream_id, number limit \(limit)
            """)
        return try rows.map(event)
    }

    /// The event `id` as the outbox holds it; nil when it does not.
    public static func published(_ id: EventID, in database: Database) async throws -> EncodedEvent? {
        let row = try await database.query(
            """
            select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions
            from ledger.outbox join ledger.outbox_place(\(id.rawValue)) using (stream_id, number)
            """
        ).first
        return try row.map(Outbox.event)
    }

    /// The latest event of each type, among the latest 200 of each stream.
    public static func latestOfEachType(in database: Database) async throws -> [EventRow] {
        let rows = try await database.query(
            """
            select distinct on (type) event_id, type, subject, source, time, cause_id, root_id from (
                select o.* from ledger.stream s cross join lateral (
                    select event_id, type, subject, source, time, cause_id, root_id from ledger.outbox
                    where stream_id = s.id order by number desc limit 200) o
                union all
                select * from (
                    select event_id, type, subject, source, time, cause_id, root_id from ledger.foreign_event
                    order by received_at desc limit 200) f
            ) latest order by type, time desc limit 100
            """)
        return try rows.map(event)
    }

    /// The instances that have not been forgotten, by name.
    public static func workers(limit: Int = 500, in database: Database) async throws -> [WorkerRow] {
        let rows = try await database.query(
            """
            select name, instance, host, pid, lag, address, started_at, seen_at,
                case when seen_at < now() - make_interval(secs => \(WorkerRegistry.silenceSeconds))
                    then 'silent' else state end as state
            from ledger.worker where seen_at > now() - make_interval(secs => \(WorkerRegistry.forgottenSeconds))
            order by name, started_at, instance limit \(limit)
            """)
        return try rows.map { row in
            WorkerRow(
                name: try row.get("name"), instance: try row.get("instance"), host: try row.get("host"),
                pid: try row.get("pid"), state: try row.get("state"), lag: try row.get("lag"),
                address: try row.get("address"), startedAt: try row.get("started_at"),
                seenAt: try row.get("seen_at"))
        }
    }

    /// Jobs that are open, or ended within the last minute; the running ones first.
    public static func jobs(limit: Int = 50, in database: Database) async throws -> [JobRow] {
        let rows = try await database.query(
            """
            select id, kind, key, state, owner, progress, tries, due_at, started_at, ended_at, failure_message, root_id
            from ledger.job
            where state in ('waiting', 'running')
                or (id > (select max(id) from ledger.job) - 1000 and ended_at > now() - interval '1 minute')
            order by case state when 'running' then 0 when 'waiting' then 1 else 2 end, due_at, id limit \(limit)
            """)
        return try rows.map { row in
            JobRow(
                id: try row.get("id"), kind: try row.get("kind"), key: try row.get("key"),
                state: try row.get("state"), owner: try row.get("owner"), progress: try row.get("progress"),
                tries: try row.get("tries"), dueAt: try row.get("due_at"), startedAt: try row.get("started_at"),
                endedAt: try row.get("ended_at"), failure: try row.get("failure_message"),
                rootID: try row.get("root_id"))
        }
    }

    /// How the job `id` stands: `waiting`, `running`, `done`, `failed` or `cancelled`; nil when there is none.
    public static func state(ofJob id: Int, in database: Database) async throws -> String? {
        try await database.first("select state from ledger.job where id = \(id)")?.get("state")
    }

    /// Workers, broker and database. The broker is what the workers that ask it each second last heard of it.
    public static func status(in database: Database) async throws -> StatusReport {
        let workers = try await workers(in: database)
        let row = try await database.first(
            """
            select current_database()::text as database, (select cluster_id from ledger.broker limit 1) as cluster,
                (select seen_at > now() - make_interval(secs => \(BrokerRecord.silenceSeconds))
                    from ledger.broker limit 1) as is_heard
            """)
        // Without a live worker nobody has asked the broker lately, and its silence says nothing.
        let isAsked = workers.contains { $0.state != "silent" && $0.name != "serve" }
        let isHeard = try row?.get("is_heard", as: Bool?.self) ?? false
        return StatusReport(
            workers: workers,
            broker: ServerRow(
                state: isHeard ? "up" : isAsked ? "away" : "unknown", name: try row?.get("cluster", as: String?.self)),
            database: ServerRow(state: "up", name: try row?.get("database", as: String.self)),
            outboxDepth: try await Outbox.depth(in: database),
            deadLetters: try await DeadLetters.count(in: database))
    }

    private static func event(from row: Row) throws -> EventRow {
        EventRow(
            id: try row.get("event_id"), type: try row.get("type"), subject: try row.get("subject"),
            source: try row.get("source"), time: try row.get("time"), causeID: try row.get("cause_id"),
            rootID: try row.get("root_id"))
    }
}
