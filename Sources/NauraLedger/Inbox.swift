// What was handled: one row for each event a stage has settled. The first statement of a stage's transaction.

import Crypto
import Foundation
import NauraEvents
import NauraPostgres

/// Identifies an event in the inbox: a digest of its id, and the UTC day of its own time.
public struct InboxKey: Hashable, Sendable {
    /// The first half of the SHA-256 of the event's id. Ids from outside are arbitrary text; the index wants a width.
    public let key: UUID
    /// Days since 1970-01-01 UTC. A function of the event alone, so that every delivery meets the same partition.
    public let day: Int

    public init(_ envelope: Envelope) {
        key = InboxKey.digest(of: envelope.id.rawValue)
        day = Int((envelope.time.timeIntervalSince1970 / 86_400).rounded(.down))
    }

    static func digest(of id: String) -> UUID {
        var hash = SHA256()
        hash.update(data: Data(id.utf8))
        let bytes = Array(hash.finalize().prefix(16))
        return UUID(
            uuid: (
                bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9],
                bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]
            ))
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

    /// Whether an event of `time` can be counted: younger than the retention, and at most a day ahead of `now`.
    public static func accepts(_ time: Date, now: Date) -> Bool {
        let age = now.timeIntervalSince(time)
        return age < Double(retentionDays - 1) * 86_400 && age > -86_400
    }

    /// Makes the partitions of `days` (days since 1970-01-01) where they do not exist.
    public static func ensure(days: some Collection<Int>, in database: Database) async throws {
        for day in days {
            _ = try await database.query(
                "select ledger.ensure_inbox_day(date '1970-01-01' + \(day)::int)")
        }
    }

    /// Forgets that `stage` handled the event `id`, so that a redriven one is handled again.
    public static func forget(_ id: EventID, for stage: StageName, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            delete from ledger.inbox where stage = \(stage.rawValue) and event_key = \(InboxKey.digest(of: id.rawValue))
            """)
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
