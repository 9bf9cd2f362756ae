// What was handled: one row for each event a stage has settled. The first statement of a stage's transaction.

import Foundation
import NauraEvents
import NauraPostgres

/// Identifies an event in the inbox: a digest of its id, and the UTC day of its own time.
public struct InboxKey: Hashable, Sendable {
    /// The first half of a SHA-256 (see ``Envelope/identity``). Ids from outside are arbitrary text; the index wants a
    /// width.
    public let key: UUID
    /// Days since 1970-01-01 UTC. A function of the event alone, so that every delivery meets the same partition.
    public let day: Int

    public init(_ envelope: Envelope) {
        key = envelope.identity
        day = Int((envelope.time.timeIntervalSince1970 / 86_400).rounded(.down))
    }
}

/// The events that stages have handled.
public enum Inbox {
    /// Days that an inbox row is kept: the outbox's retention, the topics' retention (7 days each) and two more.
    public static let retentionDays = 16

    /// Records that `stage` handles `keys` in this transaction, and returns those it had not handled before.
    ///
    /// Waits for another open transaction that holds one of the rows: a frozen predecessor is ended by the server's
    /// timeouts, not by us. A key that stands twice in `keys` is returned once.
    public static func claim(
        _ keys: [InboxKey], for stage: StageName, in transaction: Transaction
    ) async throws -> Set<UUID> {
        let rows = try await transaction.query(
            """
            insert into ledger.inbox (stage, event_key, day)
            select \(stage.rawValue), key, date '1970-01-01' + day::int
            from unnest(\(keys.map(\.key)), \(keys.map(\.day))) as given(key, day)
            on conflict do nothing
            returning event_key
            """)
        return Set(try rows.map { try $0.get("event_key", as: UUID.self) })
    }

    /// Throws when an event of `time` cannot be counted: it must be younger than the retention, and at most a day ahead.
    public static func check(_ time: Date, now: Date) throws(EventFault) {
        let days = now.timeIntervalSince(time) / 86_400
        if days >= Double(retentionDays - 1) {
            throw EventFault(
                .tooOld,
                "`time` is \(Int(days)) days ago, expected less than \(retentionDays - 1); publish it again with a new time"
            )
        }
        if days < -1 {
            throw EventFault(.tooFarAhead, "`time` is \(Int(-days)) days ahead, expected at most one; check the clock")
        }
    }

    /// Makes the partitions of `days` (days since 1970-01-01) where they do not exist.
    public static func ensure(days: some Collection<Int>, in database: Database) async throws {
        for day in days {
            _ = try await database.query(
                "select ledger.ensure_inbox_day(date '1970-01-01' + \(day)::int)")
        }
    }

    /// The same as part of a transaction, for a copy, whose events are of many days at once.
    public static func ensure(days: some Collection<Int>, in transaction: Transaction) async throws {
        for day in days {
            try await transaction.execute("select ledger.ensure_inbox_day(date '1970-01-01' + \(day)::int)")
        }
    }

    /// Forgets that `stage` handled the event of `key`, so that a redriven one is handled again.
    public static func forget(_ key: InboxKey, for stage: StageName, in transaction: Transaction) async throws {
        try await transaction.execute(
            "delete from ledger.inbox where stage = \(stage.rawValue) and event_key = \(key.key)")
    }

    /// Drops partitions whose day is past the retention. Returns the names of the dropped ones.
    public static func prune(in database: Database) async throws -> [String] {
        try await database.transaction { transaction in
            let rows = try await transaction.query(
                """
                select child.relname::text as name from pg_inherits
                join pg_class child on child.oid = inhrelid join pg_class parent on parent.oid = inhparent
                join pg_namespace space on space.oid = parent.relnamespace
                where space.nspname = 'ledger' and parent.relname = 'inbox'
                and child.relname < 'inbox_' || to_char(current_date - \(retentionDays)::int, 'YYYYMMDD')
                limit 100
                """)
            let names = try rows.map { try $0.get("name", as: String.self) }
            for name in names {
                try await transaction.execute("select ledger.drop_inbox_day(\(name))")
            }
            return names
        }
    }
}
