// Who reads on in a copy's own outbox, and who tells what jobs once said: each place has one holder at a time.

import Foundation
import NauraEvents
import NauraPostgres

/// What a stage has not read of one stream, while the transaction holds its place.
public struct UnreadEvents: Sendable {
    public let events: [EncodedEvent]
    /// The number up to which the stage will have read.
    let end: Int
    let stage: StageName
    let stream: Int
}

extension History {
    /// Enters the stages and tellers of `worker`; those that are entered keep their places.
    public static func enter(
        worker: String, stages: [StageName], tellers: [String], in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into ledger.replay_reader (worker, stage, stream_id)
            select \(worker), stage, s.id from unnest(\(stages)) stage
            cross join ledger.stream s where s.name like 'shared/%' order by stage, s.id
            on conflict do nothing
            """)
        try await transaction.execute(
            """
            insert into ledger.replay_teller (name, worker)
            select name, \(worker) from unnest(\(tellers)) name order by name on conflict do nothing
            """)
    }

    /// The ids of the streams that are read.
    public static func streams(in database: Database) async throws -> [Int] {
        try await database.query("select id from ledger.stream where name like 'shared/%' order by id").map {
            try $0.get("id")
        }
    }

    /// Holds the place of `stage` in `stream`, and reads the next events of `type`, at most `limit`.
    /// - Returns: nil when another holds the place, or nothing new is there.
    public static func readOn(
        _ stage: StageName, type: EventType, in stream: Int, limit: Int, _ transaction: Transaction
    ) async throws -> UnreadEvents? {
        let place = try await transaction.first(
            """
            select r.number, s.next - 1 as last from ledger.replay_reader r join ledger.stream s on s.id = r.stream_id
            where r.stage = \(stage.rawValue) and r.stream_id = \(stream)::int
            for update of r skip locked
            """)
        guard let place else { return nil }
        let (number, last) = (try place.get("number", as: Int.self), try place.get("last", as: Int.self))
        guard number < last else { return nil }
        let rows = try await transaction.query(
            """
            select number, event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions
            from ledger.outbox
            where stream_id = \(stream)::int and number > \(number) and number <= \(last) and type = \(type.rawValue)
            order by number limit \(limit)
            """)
        let end = rows.count < limit ? last : try rows[rows.count - 1].get("number", as: Int.self)
        return UnreadEvents(
            events: try rows.map { try Outbox.event(from: $0) }, end: end, stage: stage, stream: stream)
    }

    /// Moves the place behind `unread`; part of the transaction that handles it.
    public static func move(past unread: UnreadEvents, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            update ledger.replay_reader set number = \(unread.end)
            where stage = \(unread.stage.rawValue) and stream_id = \(unread.stream)::int
            """)
        try await transaction.notify(channel)
    }

    /// A number that grows with everything that happens in the copy.
    public static func state(in database: Database) async throws -> Int {
        try await database.first("select ledger.replay_state() as state")?.get("state") ?? 0
    }

    /// Notes that `teller` found nothing to tell when the copy was in `state`.
    public static func note(_ teller: String, saw state: Int, in database: Database) async throws {
        _ = try await database.update("update ledger.replay_teller set seen = \(state) where name = \(teller)")
    }

    /// Events of `type` said by one of `origins` that were not told, in the order of history, at most `limit` after
    /// `last`; those of parts to come excepted.
    public static func untold(
        _ type: EventType, by origins: [StageName], after last: RecordedEvent? = nil, limit: Int, in database: Database
    ) async throws -> [RecordedEvent] {
        let sources = origins.map { Envelope.ownSourcePrefix + $0.rawValue }
        return try await database.query(
            """
            select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions,
                said_at, part
            from ledger.recorded_event
            where type = \(type.rawValue) and source = any(\(sources)) and not is_input and not is_told
            and part <= (select part from ledger.replay)
            and (\(last == nil) or (said_at, place) > (\(last?.saidAt), (
                select place from ledger.recorded_event where event_id = \(last?.event.envelope.id.rawValue))))
            order by said_at, place limit \(limit)
            """
        ).map {
            RecordedEvent(
                event: try Outbox.event(from: $0), saidAt: try $0.get("said_at"), part: try $0.get("part"))
        }
    }

    /// Holds `teller`'s place until the transaction ends, and says whether `event` is still untold.
    /// - Returns: nil when another holds the place.
    public static func hold(
        _ teller: String, for event: EncodedEvent, in transaction: Transaction
    ) async throws -> Bool? {
        let place = try await transaction.first(
            "select name from ledger.replay_teller where name = \(teller) for update skip locked")
        guard place != nil else { return nil }
        return try await transaction.first(
            """
            select 1 as one from ledger.recorded_event where event_id = \(event.envelope.id.rawValue) and not is_told
            """) != nil
    }

    /// Notes why `event` cannot be told yet.
    public static func note(_ event: EncodedEvent, waitsFor reason: String, in transaction: Transaction) async throws {
        try await transaction.execute(
            "update ledger.recorded_event set waits_for = \(reason) where event_id = \(event.envelope.id.rawValue)")
    }
}
