// What must be said: events become rows in the transaction that causes them, and reach Kafka from there.

import Foundation
import NauraEvents
import NauraFailpoints
import NauraPostgres

/// An event as it stands in the outbox.
public struct OutboxRow: Sendable {
    public let number: Int
    public let event: EncodedEvent

    public init(number: Int, event: EncodedEvent) {
        self.number = number
        self.event = event
    }
}

/// The events that Naura has said or will say.
public enum Outbox {
    /// Appends `events` to a stream that this process holds, numbered from `first`, and moves its counters.
    ///
    /// Queued: nothing waits. The commit fails with ``LedgerError/Code/streamLost`` when another holds the stream.
    /// - Parameter sent: the last number that Kafka has acknowledged.
    public static func append(
        _ events: [EncodedEvent], to stream: HeldStream, first: Int, sent: Int, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            "select ledger.advance(\(stream.id)::int, \(stream.epoch), \(first), \(events.count), \(sent))")
        guard !events.isEmpty else { return }
        let numbers = Array(first..<(first + events.count))
        try await insert(events, streams: events.map { _ in stream.id }, numbers: numbers, in: transaction)
    }

    /// Appends `events` to the shared streams of their subjects, and wakes who sends them.
    ///
    /// The stream's row is locked until the commit, so that numbers follow commits without gaps. Streams are taken in
    /// the order of their names: two writers cannot wait for each other.
    public static func append(_ events: [EncodedEvent], in transaction: Transaction) async throws {
        guard !events.isEmpty else { return }
        let byStream = Dictionary(grouping: events) { Streams.shared(for: $0.envelope.subject) }
        for (name, group) in byStream.sorted(by: { $0.key < $1.key }) {
            let row = try await transaction.first(
                """
                update ledger.stream set next = next + \(group.count) where name = \(name)
                returning id, next - \(group.count) as first
                """)
            guard let row else { throw LedgerError(.unknownStream, name) }
            let (id, first) = (try row.get("id", as: Int.self), try row.get("first", as: Int.self))
            try await insert(
                group, streams: group.map { _ in id }, numbers: Array(first..<(first + group.count)), in: transaction)
        }
        try await transaction.notify("naura_outbox", "")
    }

    /// Up to `limit` rows of a stream after `number`, in order.
    public static func rows(
        of stream: Int, after number: Int, limit: Int, in database: Database
    ) async throws -> [OutboxRow] {
        try await rows(after: [stream: number], limit: limit, in: database)[stream] ?? []
    }

    /// Up to `limit` rows of each stream after its number, in order; a stream without such rows is left out.
    public static func rows(
        after places: [Int: Int], limit: Int, in database: Database
    ) async throws -> [Int: [OutboxRow]] {
        let (streams, numbers) = (Array(places.keys), Array(places.values))
        let rows = try await database.query(
            """
            select o.* from unnest(\(streams)::int[], \(numbers)) as place (stream_id, number)
            cross join lateral (
                select stream_id, number, event_id, type, source, subject, time, cause_id, root_id, traceparent, body,
                    extensions
                from ledger.outbox where stream_id = place.stream_id and number > place.number
                order by number limit \(limit)
            ) o order by o.stream_id, o.number
            """)
        return try Dictionary(grouping: rows) { try $0.get("stream_id", as: Int.self) }.mapValues { rows in
            try rows.map { OutboxRow(number: try $0.get("number"), event: try event(from: $0)) }
        }
    }

    /// The latest events of a type, oldest first, at most `limit`.
    public static func events(
        ofType type: EventType, limit: Int = 1_000, in database: Database
    ) async throws -> [EncodedEvent] {
        try await database.query(
            """
            select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions from (
                select * from ledger.outbox where type = \(type.rawValue)
                order by time desc, stream_id, number desc limit \(limit)
            ) latest order by time, stream_id, number
            """
        ).map { try event(from: $0) }
    }

    /// Rows that wait to be sent, over all streams.
    public static func depth(in database: Database) async throws -> Int {
        let row = try await database.query(
            "select coalesce(sum(next - 1 - sent), 0)::bigint as depth from ledger.stream"
        ).first
        return try row?.get("depth") ?? 0
    }

    /// Deletes sent rows that are older than `seconds`, at most `limit`. Returns how many; 0 while another does the same.
    ///
    /// Of each stream only its first rows are looked at, by their key, and of one whose first is young none: numbers
    /// follow time, and a statement's cost does not grow with what is kept. A row whose time is ahead delays its
    /// followers until it is old enough.
    public static func prune(olderThanSeconds seconds: Double, limit: Int, in database: Database) async throws -> Int {
        try await database.update(
            """
            delete from ledger.outbox where (select pg_try_advisory_xact_lock(hashtextextended('ledger.outbox', 1)))
            and (stream_id, number) in (
                select first.stream_id, first.number from ledger.stream s
                cross join lateral (
                    select time from ledger.outbox where stream_id = s.id order by number limit 1) oldest
                cross join lateral (
                    select stream_id, number, time from ledger.outbox
                    where stream_id = s.id and number <= s.sent order by number limit \(limit)) first
                where oldest.time < now() - make_interval(secs => \(seconds))
                and first.time < now() - make_interval(secs => \(seconds)) limit \(limit))
            """)
    }

    private static func insert(
        _ events: [EncodedEvent], streams: [Int], numbers: [Int], in transaction: Transaction
    ) async throws {
        let envelopes = events.map(\.envelope)
        try await transaction.execute(
            """
            insert into ledger.outbox
                (stream_id, number, event_id, type, source, subject, time, cause_id, root_id, traceparent, body,
                extensions)
            select stream, number, id, type, source, subject, time, cause, root, trace, body, extensions::jsonb
            from unnest(
                \(streams)::int[], \(numbers), \(envelopes.map(\.id.rawValue)), \(envelopes.map(\.type.rawValue)),
                \(envelopes.map(\.source)), \(envelopes.map(\.subject)), \(envelopes.map(\.time)),
                \(envelopes.map { $0.causeID?.rawValue }), \(envelopes.map(\.rootID.rawValue)),
                \(envelopes.map(\.traceparent)), \(events.map(\.body)), \(try envelopes.map(extensions(of:))))
                as given(stream, number, id, type, source, subject, time, cause, root, trace, body, extensions)
            """)
    }

    /// The further extensions as a JSON text; nil where there are none, as in all that Naura says itself.
    static func extensions(of envelope: Envelope) throws -> String? {
        guard !envelope.extensions.isEmpty else { return nil }
        return String(decoding: try PostgresJSON.encode(envelope.extensions), as: UTF8.self)
    }

    static func event(from row: Row) throws -> EncodedEvent {
        EncodedEvent(
            envelope: Envelope(
                id: EventID(rawValue: try row.get("event_id")), type: EventType(rawValue: try row.get("type")),
                source: try row.get("source"), subject: try row.get("subject"), time: try row.get("time"),
                causeID: try row.get("cause_id", as: String?.self).map(EventID.init(rawValue:)),
                rootID: EventID(rawValue: try row.get("root_id")), traceparent: try row.get("traceparent"),
                extensions: try row.jsonIfPresent("extensions") ?? [:]),
            body: try row.get("body"))
    }
}

/// The way in for clients: the command line, HTTP, tests.
public enum Publisher {
    /// Writes `event` to the outbox in `transaction`; it reaches Kafka once that has committed.
    public static func publish(_ event: EncodedEvent, in transaction: Transaction) async throws {
        try await Outbox.append([event], in: transaction)
    }

    /// Writes `event` to the outbox, safe when this returns.
    ///
    /// An id that the outbox holds already is not written again: returns false.
    public static func publish(_ event: EncodedEvent, in database: Database) async throws -> Bool {
        let envelope = event.envelope
        let rows = try await database.query(
            """
            select ledger.publish(
                \(Streams.shared(for: envelope.subject)), \(envelope.id.rawValue), \(envelope.type.rawValue),
                \(envelope.source), \(envelope.subject), \(envelope.time), \(envelope.causeID?.rawValue),
                \(envelope.rootID.rawValue), \(envelope.traceparent), \(event.body),
                \(jsonText: try Outbox.extensions(of: envelope))) as is_new
            """)
        Failpoint.published.reach()
        return try rows[0].get("is_new")
    }
}

/// Events that reached Kafka without the outbox; kept so that a chain shows its first event.
public enum ForeignEvents {
    /// Records `events` once each.
    ///
    /// - Returns: the ids that another source has used before, with that source, for the same type and subject. What follows
    ///   from an event bears an id made from its id alone: the two would have the same followers, and those of the second
    ///   would count as handled.
    public static func record(_ events: [EncodedEvent], in transaction: Transaction) async throws -> [EventID: String] {
        for event in events {
            let envelope = event.envelope
            try await transaction.execute(
                """
                insert into ledger.foreign_event
                    (event_id, type, source, subject, time, cause_id, root_id, body, extensions)
                values (\(envelope.id.rawValue), \(envelope.type.rawValue), \(envelope.source),
                    \(envelope.subject), \(envelope.time), \(envelope.causeID?.rawValue),
                    \(envelope.rootID.rawValue), \(event.body), \(jsonText: try Outbox.extensions(of: envelope)))
                on conflict do nothing
                """)
        }
        let envelopes = events.map(\.envelope).filter { !EventCatalogue.counted.contains($0.type) }
        guard !envelopes.isEmpty else { return [:] }
        let taken = try await transaction.query(
            """
            select recorded.event_id, recorded.source
            from unnest(
                \(envelopes.map(\.id.rawValue)), \(envelopes.map(\.type.rawValue)), \(envelopes.map(\.subject)),
                \(envelopes.map(\.source))) as given(event_id, type, subject, source)
            join ledger.foreign_event recorded on recorded.event_id = given.event_id and recorded.type = given.type
                and recorded.subject = given.subject and recorded.source <> given.source
            """)
        return try Dictionary(
            taken.map { (EventID(rawValue: try $0.get("event_id")), try $0.get("source")) }, uniquingKeysWith: { $1 })
    }

    /// Deletes events that came more than `seconds` ago, at most `limit`. Returns how many; 0 while another does the same.
    public static func prune(olderThanSeconds seconds: Double, limit: Int, in database: Database) async throws -> Int {
        try await database.update(
            """
            delete from ledger.foreign_event
            where (select pg_try_advisory_xact_lock(hashtextextended('ledger.foreign_event', 1))) and event_id in (
                select event_id from ledger.foreign_event
                where received_at < now() - make_interval(secs => \(seconds)) limit \(limit))
            """)
    }
}
