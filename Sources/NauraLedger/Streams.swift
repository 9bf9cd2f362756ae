// Streams of outgoing events, and who holds them.

import NauraEvents
import NauraPostgres

/// A stream that this process holds: its writes name `epoch`, and are refused once another has taken it.
public struct HeldStream: Sendable, Equatable {
    public let id: Int
    public let epoch: Int
    /// The number that the next outbox row gets.
    public let next: Int
    /// The last number known to be in Kafka.
    public let sent: Int
    /// False when the previous owner died at work: its open event is then tried alone, with the death on record.
    public let wasClean: Bool

    /// Stands for a stream that was not taken yet; nothing can be written to it.
    public static let none = HeldStream(id: 0, epoch: 0, next: 1, sent: 0, wasClean: true)
}

/// The streams, their owners and their cursors.
public enum Streams {
    /// How many streams take the events of jobs and clients; a hash of the key chooses.
    public static let sharedCount = 4

    /// The stream of a stage's input partition.
    public static func name(stage: StageName, topic: String, partition: Int32) -> String {
        "\(stage.rawValue)/\(topic)/\(partition)"
    }

    /// The shared stream for events of `subject`: FNV-1a over its UTF-8 bytes, so that one key keeps one order.
    public static func shared(for subject: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in subject.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return "shared/\(hash % UInt64(sharedCount))"
    }

    /// Takes `name` for `owner`: raises its epoch, so that every earlier owner's writes are refused from now on.
    public static func take(_ name: String, owner: String, in database: Database) async throws -> HeldStream {
        try await database.transaction { transaction in
            try await transaction.execute("insert into ledger.stream (name) values (\(name)) on conflict do nothing")
            let row = try await transaction.first(
                """
                update ledger.stream new set epoch = new.epoch + 1, owner = \(owner), is_clean = false
                from (select id, is_clean from ledger.stream where name = \(name) for update) old
                where new.id = old.id
                returning new.id, new.epoch, new.next, new.sent, old.is_clean
                """)
            guard let row else { throw LedgerError(.unknownStream, name) }
            return HeldStream(
                id: try row.get("id"), epoch: try row.get("epoch"), next: try row.get("next"),
                sent: try row.get("sent"), wasClean: try row.get("is_clean"))
        }
    }

    /// Gives a stream back in order: nothing of it is open. Without effect when another has taken it meanwhile.
    public static func release(_ id: Int, epoch: Int, sent: Int, in database: Database) async throws {
        _ = try await database.update(
            """
            update ledger.stream set is_clean = true, owner = null, sent = greatest(sent, \(sent))
            where id = \(id) and epoch = \(epoch)
            """)
    }

    /// Moves the cursor of what Kafka has acknowledged.
    /// - Returns: false when the stream was taken by another, who will send the tail again.
    public static func mark(_ id: Int, epoch: Int, sent: Int, in database: Database) async throws -> Bool {
        try await database.update(
            """
            update ledger.stream set sent = greatest(sent, \(sent)) where id = \(id) and epoch = \(epoch)
            """) == 1
    }

    /// Takes or keeps the lease of as many shared streams as are free, for `seconds` from now.
    ///
    /// A stream that changes hands gets a new epoch; one that `owner` held already keeps its own. Waits for a client
    /// that appends just now: a row skipped because of its lock would be unsent until the next renewal.
    public static func leaseShared(
        owner: String, seconds: Double, in database: Database
    ) async throws -> [HeldStream] {
        let rows = try await database.query(
            """
            update ledger.stream new set
                epoch = case when old.owner is distinct from \(owner) then new.epoch + 1 else new.epoch end,
                owner = \(owner), lease_until = clock_timestamp() + make_interval(secs => \(seconds))
            from (
                select id, owner from ledger.stream
                where name like 'shared/%' and (owner is null or owner = \(owner) or lease_until < clock_timestamp())
                order by id for update
            ) old
            where new.id = old.id
            returning new.id, new.epoch, new.next, new.sent
            """)
        return try rows.map {
            HeldStream(
                id: try $0.get("id"), epoch: try $0.get("epoch"), next: try $0.get("next"),
                sent: try $0.get("sent"), wasClean: true)
        }
    }

    /// Lets the shared streams of `owner` go, so that another need not wait for the lease to expire.
    ///
    /// Locks in the order in which they are leased: two workers, one ending and one renewing, else met in a deadlock.
    public static func releaseShared(owner: String, in database: Database) async throws {
        _ = try await database.update(
            """
            update ledger.stream set owner = null, lease_until = null
            where id in (
                select id from ledger.stream where name like 'shared/%' and owner = \(owner) order by id for update)
            """)
    }

    /// Prepares the refill of a broker that came back empty: every kept row is unsent again, and every owner must
    /// take its streams anew.
    public static func rewind(in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            update ledger.stream stream set epoch = epoch + 1, lease_until = null,
                owner = case when name like 'shared/%' then null else owner end,
                sent = coalesce(
                    (select min(number) - 1 from ledger.outbox where stream_id = stream.id), stream.next - 1)
            """)
    }
}
