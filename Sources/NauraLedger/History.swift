// History in a copy: events on record elsewhere, told again one after another, each once, with their own ids and times.

import Foundation
import NauraEvents
import NauraPostgres

/// An event on record, and where it stands in history.
public struct RecordedEvent: Sendable {
    public let event: EncodedEvent
    /// When it was said.
    public let saidAt: Date
    /// Between which applied projects it was said: 0 before the first.
    public let part: Int
    /// Whether it comes from beside the ledger, which does not know it.
    public let isAdded: Bool

    public init(event: EncodedEvent, saidAt: Date, part: Int, isAdded: Bool = false) {
        self.event = event
        self.saidAt = saidAt
        self.part = part
        self.isAdded = isAdded
    }

    /// Whether nobody in a copy can say it: it came from outside, or tells of a failure.
    ///
    /// What a stage or a job of Naura's says answers to a cause.
    var isInput: Bool {
        let envelope = event.envelope
        return !envelope.isOwn || envelope.causeID == nil || envelope.type == DeadLetter.type
    }
}

/// How far a replay is.
public struct ReplayProgress: Sendable, Equatable {
    /// Events on record, and how many of them were told.
    public let recorded: Int
    public let told: Int
    /// Events that handlers said and history does not know.
    public let unknown: Int
    /// Workers whose stages are at work.
    public let workers: Set<String>
    /// Whether every stage has read everything, and nobody finds anything more to tell.
    public let isQuiet: Bool
}

/// Why an event of history could not be told.
public struct UntoldEvent: Codable, Sendable, Equatable {
    public let type: String
    public let source: String
    /// What the first of them waits for; nil when nobody has looked at it.
    public let reason: String?
    public let count: Int
}

/// The record in a copy.
public enum History {
    /// Woken whenever something was told or read.
    public static let channel = "naura_outbox"

    /// Puts `events` on record, in the order given; an id that is there already keeps its first place.
    public static func record(_ events: [RecordedEvent], in transaction: Transaction) async throws {
        let envelopes = events.map(\.event.envelope)
        try await transaction.execute(
            """
            insert into ledger.recorded_event (said_at, event_id, type, source, subject, time, cause_id, root_id,
                traceparent, body, extensions, part, is_input, is_added)
            select said_at, id, type, source, subject, time, cause, root, trace, body, extensions::jsonb, part::int,
                is_input, is_added
            from unnest(
                \(events.map(\.saidAt)), \(envelopes.map(\.id.rawValue)), \(envelopes.map(\.type.rawValue)),
                \(envelopes.map(\.source)), \(envelopes.map(\.subject)), \(envelopes.map(\.time)),
                \(envelopes.map { $0.causeID?.rawValue }), \(envelopes.map(\.rootID.rawValue)),
                \(envelopes.map(\.traceparent)), \(events.map(\.event.body)),
                \(try envelopes.map(Outbox.extensions(of:))), \(events.map(\.part)),
                \(events.map(\.isInput)), \(events.map(\.isAdded)))
                with ordinality as given(said_at, id, type, source, subject, time, cause, root, trace, body, extensions,
                    part, is_input, is_added, place)
            order by place
            on conflict (event_id) do nothing
            """)
    }

    /// Begins the replay, or lets the events of `part` be told.
    public static func open(part: Int, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            insert into ledger.replay (part, events)
            values (\(part)::int, (select count(*) from ledger.recorded_event))
            on conflict (is_single) do update set part = excluded.part
            """)
        try await transaction.notify(channel)
    }

    /// Ends the replay: its workers end, and no worker will ever send what the copy's outbox holds.
    public static func close(in transaction: Transaction) async throws {
        try await transaction.execute("update ledger.replay set ended_at = now() where ended_at is null")
        try await transaction.execute("update ledger.stream set sent = next - 1")
        try await transaction.notify(channel)
    }

    public static func isOver(in database: Database) async throws -> Bool {
        try await database.first("select ended_at from ledger.replay where ended_at is not null") != nil
    }

    /// Tells the next inputs of the open part, at most `limit`.
    /// - Returns: how many were told.
    public static func tellInputs(limit: Int, in transaction: Transaction) async throws -> Int {
        let rows = try await transaction.query(
            """
            select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions
            from ledger.recorded_event
            where is_input and not is_told and part <= (select part from ledger.replay)
            order by said_at, place limit \(limit)
            """)
        try await tell(try rows.map { try Outbox.event(from: $0) }, in: transaction)
        return rows.count
    }

    /// Says `events` in the copy, each once: as history has them, with their own time and body. What history does not know
    /// is said as it is.
    public static func tell(_ events: [EncodedEvent], in transaction: Transaction) async throws {
        guard !events.isEmpty else { return }
        let ids = events.map(\.envelope.id.rawValue)
        var known: [String: EncodedEvent?] = [:]
        for row in try await transaction.query(
            """
            select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions, is_told
            from ledger.recorded_event where event_id = any(\(ids)) order by place for update
            """)
        {
            let isTold = try row.get("is_told", as: Bool.self)
            known[try row.get("event_id")] = .some(isTold ? nil : try Outbox.event(from: row))
        }
        let fresh = events.compactMap { event in
            let recorded = known[event.envelope.id.rawValue]
            return recorded ?? event
        }
        try await transaction.execute(
            """
            update ledger.recorded_event set is_told = true, waits_for = null
            where event_id = any(\(fresh.map(\.envelope.id.rawValue)))
            """)
        try await Outbox.append(fresh, in: transaction)
    }

    /// The event `id` as history has it; nil when it is not on record.
    public static func event(_ id: EventID, in transaction: Transaction) async throws -> EncodedEvent? {
        try await transaction.first(
            """
            select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions
            from ledger.recorded_event where event_id = \(id.rawValue)
            """
        ).map { try Outbox.event(from: $0) }
    }

    /// How far the replay is, in one look.
    public static func progress(in database: Database) async throws -> ReplayProgress {
        let row = try await database.first(
            """
            with recorded as (
                select events as recorded,
                    events - (select count(*)::bigint from ledger.recorded_event where not is_told) as told,
                    exists (select 1 from ledger.recorded_event e where e.is_input and not e.is_told and e.part <= r.part)
                        as has_inputs
                from ledger.replay r
            )
            select recorded, told, (select coalesce(sum(next - 1), 0)::bigint from ledger.stream) - told as unknown,
                array(select distinct worker from ledger.replay_reader) as workers,
                not has_inputs
                and not exists (
                    select 1 from ledger.replay_reader r join ledger.stream s on s.id = r.stream_id
                    where r.number < s.next - 1)
                and not exists (select 1 from ledger.replay_teller where seen <> ledger.replay_state()) as is_quiet
            from recorded
            """)
        guard let row else { throw PostgresError(.decodingFailed, "the progress of the replay has no row") }
        return ReplayProgress(
            recorded: try row.get("recorded"), told: try row.get("told"), unknown: try row.get("unknown"),
            workers: Set(try row.get("workers", as: [String].self)), isQuiet: try row.get("is_quiet"))
    }

    /// What of history was not told, by type and source, with what the first of them waits for.
    public static func untold(in database: Database) async throws -> [UntoldEvent] {
        try await database.query(
            """
            select type, source, count(*)::bigint as count,
                (array_agg(waits_for order by said_at, place) filter (where waits_for is not null))[1] as reason
            from ledger.recorded_event where not is_told group by type, source order by type, source limit 100
            """
        ).map {
            UntoldEvent(
                type: try $0.get("type"), source: try $0.get("source"), reason: try $0.get("reason"),
                count: try $0.get("count"))
        }
    }
}
