// What the ledger knows of one event and of what came of it: for whoever follows a chain.

import Foundation
import NauraEvents
import NauraPostgres

/// An event with its body, as it stands in the outbox or was first seen from outside.
public struct LoggedEvent: Sendable, Equatable {
    public let row: EventRow
    public let body: [UInt8]
}

/// A job that an event led to.
public struct CausedJob: Sendable, Equatable {
    public let id: Int
    public let kind: String
    public let key: String
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    public let state: String
    public let progress: String?
    public let failure: String?
    public let dueAt: Date
}

/// Follows single events through the ledger.
public enum EventLog {
    /// The event `id`; nil while the ledger does not know it.
    public static func event(_ id: String, in database: Database) async throws -> LoggedEvent? {
        let row = try await database.first(
            """
            select event_id, type, subject, source, time, cause_id, root_id, body from (
                select event_id, type, subject, source, time, cause_id, root_id, body
                from ledger.outbox join ledger.outbox_place(\(id)) using (stream_id, number)
                union all
                select event_id, type, subject, source, time, cause_id, root_id, body
                from ledger.foreign_event where event_id = \(id)
            ) known limit 1
            """)
        return try row.map(logged)
    }

    /// The first `limit` events of the chain that began with `root`, the oldest first.
    public static func chain(of root: String, limit: Int = 2_000, in database: Database) async throws -> [LoggedEvent] {
        let rows = try await database.query(
            """
            select event_id, type, subject, source, time, cause_id, root_id, body from (
                select event_id, type, subject, source, time, cause_id, root_id, body, stream_id, number
                from ledger.outbox where root_id = \(root)
                union all
                select event_id, type, subject, source, time, cause_id, root_id, body, 0, 0
                from ledger.foreign_event where root_id = \(root)
            ) chain order by time, stream_id, number limit \(limit)
            """)
        return try rows.map(logged)
    }

    /// The stages that have handled the event `row`.
    public static func stages(thatHandled row: EventRow, in database: Database) async throws -> Set<String> {
        let envelope = Envelope(
            id: EventID(row.id), type: EventType(row.type), source: row.source, subject: row.subject, time: row.time)
        let rows = try await database.query(
            "select stage from ledger.inbox where event_key = \(envelope.identity) limit 100")
        return Set(try rows.map { try $0.get("stage", as: String.self) })
    }

    /// The jobs that the events `ids` led to.
    public static func jobs(causedBy ids: [String], in database: Database) async throws -> [CausedJob] {
        let rows = try await database.query(
            """
            select id, kind, key, state, progress, failure_message, due_at from ledger.job
            where root_id = any(\(ids)) or cause_id = any(\(ids)) order by id limit 200
            """)
        return try rows.map { row in
            CausedJob(
                id: try row.get("id"), kind: try row.get("kind"), key: try row.get("key"),
                state: try row.get("state"), progress: try row.get("progress"),
                failure: try row.get("failure_message"), dueAt: try row.get("due_at"))
        }
    }

    /// What of the events `ids` failed for good and was not redriven since, as `stage: code: message`.
    public static func failures(of ids: [String], in database: Database) async throws -> [String] {
        let rows = try await database.query(
            """
            select stage, code, message from ledger.dead_letter
            where event_id = any(\(ids)) and state <> 'redriven' order by id limit 100
            """)
        return try rows.map { row in
            let (stage, code) = (try row.get("stage", as: String.self), try row.get("code", as: String.self))
            return "\(stage): \(code): \(try row.get("message", as: String.self))"
        }
    }

    private static func logged(_ row: Row) throws -> LoggedEvent {
        LoggedEvent(
            row: EventRow(
                id: try row.get("event_id"), type: try row.get("type"), subject: try row.get("subject"),
                source: try row.get("source"), time: try row.get("time"), causeID: try row.get("cause_id"),
                rootID: try row.get("root_id")),
            body: try row.get("body"))
    }
}
