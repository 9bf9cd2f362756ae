// Reads history from the ledger that lived it.

import Foundation
import NauraEvents
import NauraPostgres

/// What a ledger has on record, and whether that is all of its history.
public struct HistorySource: Sendable, Equatable {
    /// Streams of which the first rows are gone: past retention.
    public let streamsCut: Int
    /// Jobs that are not done, and events that were not sent: a copy may know their end, or not know their begin.
    public let jobsOpen: Int
    public let eventsUnsent: Int
    /// Batches of answers that gateways sent straight to Kafka, and `watch-predictions` handled.
    public let predictionsUnrecorded: Int

    /// Asks the ledger behind `transaction`.
    public static func look(in transaction: Transaction) async throws -> HistorySource {
        let row = try await transaction.first(
            """
            select
                (select count(*)::bigint from ledger.stream s where s.next > 1 and coalesce(
                    (select min(number) from ledger.outbox o where o.stream_id = s.id), s.next) > 1) as cut,
                (select count(*)::bigint from ledger.job where state in ('waiting', 'running')) as open,
                (select coalesce(sum(next - 1 - sent), 0)::bigint from ledger.stream) as unsent,
                greatest(0, (select count(*)::bigint from ledger.inbox where stage = 'watch-predictions') - (
                    select count(*)::bigint from (
                        select event_id from ledger.outbox where type = 'predictions'
                        union select event_id from ledger.foreign_event where type = 'predictions') known)) as unrecorded
            """)
        guard let row else { throw PostgresError(.decodingFailed, "the ledger says nothing of itself") }
        return HistorySource(
            streamsCut: try row.get("cut"), jobsOpen: try row.get("open"), eventsUnsent: try row.get("unsent"),
            predictionsUnrecorded: try row.get("unrecorded"))
    }

    /// Hands over every event on record, in the order in which they were said, some hundreds at a time.
    ///
    /// The order of a stream is the order of its commits, whatever times its events bear; between streams the later time
    /// is the later event. What came without the outbox stands where it was first handled.
    /// - Parameter part: the part of history that a moment belongs to.
    public static func read(
        in transaction: Transaction, part: (Date) -> Int, _ body: ([RecordedEvent]) async throws -> Void
    ) async throws {
        var page: [RecordedEvent] = []
        try await transaction.forEach(
            """
            select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions, said_at from (
                select event_id, type, source, subject, time, cause_id, root_id, traceparent, body, extensions,
                    stream_id, number, max(time) over (partition by stream_id order by number) as said_at
                from ledger.outbox
                union all
                select event_id, type, source, subject, time, cause_id, root_id, null, body, extensions, 0, 0,
                    received_at
                from ledger.foreign_event
            ) history order by said_at, stream_id, number
            """, fetch: 500
        ) { row in
            let saidAt = try row.get("said_at", as: Date.self)
            page.append(RecordedEvent(event: try Outbox.event(from: row), saidAt: saidAt, part: part(saidAt)))
            guard page.count == 500 else { return }
            try await body(page)
            page.removeAll(keepingCapacity: true)
        }
        if !page.isEmpty { try await body(page) }
    }

    /// The events on record as a text of their own: what a copy must hold too.
    public static let eventsTable = ComparedTable(
        "ledger.outbox", "its events",
        rows: """
            select distinct event_id, type, source, subject, time, cause_id, root_id, md5(body) as body,
                extensions from (
                select event_id, type, source, subject, time, cause_id, root_id, body, extensions from ledger.outbox
                union all
                select event_id, type, source, subject, time, cause_id, root_id, body, extensions
                from ledger.foreign_event) said
            """,
        rowsInCopy: """
            select distinct event_id, type, source, subject, time, cause_id, root_id, md5(body) as body,
                extensions
            from ledger.outbox o where not exists (
                select 1 from ledger.recorded_event e where e.event_id = o.event_id and e.is_added)
            """,
        without: "streams and their numbers: a copy has no partitions")

    /// The ledger's own tables that no history rebuilds, and why.
    public static let leftOut: [(table: String, reason: String)] = [
        ("ledger.foreign_event", "compared with the outbox"),
        ("ledger.inbox", "which stage handled what; days past retention are dropped"),
        ("ledger.stream", "partitions, owners and cursors"),
        ("ledger.job", "no job is filed or run"), ("ledger.job_line", "no job is filed or run"),
        ("ledger.dead_letter", "places, tries and times of failures, and what people decided"),
        ("ledger.dead_letter_decision", "what people decided, and when"),
        ("ledger.attempt", "deaths of workers"), ("ledger.worker", "who lives"), ("ledger.duty", "who does what"),
        ("ledger.broker", "the broker last seen"), ("ledger.compatibility", "which workers the tables serve"),
        ("ledger.recorded_event", "the replay's own"), ("ledger.replay_reader", "the replay's own"),
        ("ledger.replay_teller", "the replay's own"), ("ledger.replay", "the replay's own"),
    ]
}
