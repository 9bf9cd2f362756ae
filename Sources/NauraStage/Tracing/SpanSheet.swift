// The spans of one transaction, held back until it has committed: what is rolled back leaves none.

import Foundation
import NauraEvents
import NauraLedger
import Synchronization

/// Collects what a transaction says, for the trace. Exists only while traces are exported.
final class SpanSheet: Sendable {
    let began = Date()
    private let tracer: Tracer
    private let state = Mutex<(spans: [Span], isUsed: Bool)>(([], false))

    init(_ tracer: Tracer) { self.tracer = tracer }

    /// Whether anything was said or filed: then the span of the work at hand is somebody's parent.
    var isUsed: Bool { state.withLock { $0.isUsed } }

    /// Notes that `event` was said under `parent`, by the work of the span `current`.
    func said(_ event: Envelope, parent: String?, by current: String?) {
        let links = current == parent ? [] : [current].compactMap(\.self)
        guard let span = Span.publishing(event, parent: parent, links: links, start: Date(), end: began) else { return }
        state.withLock {
            $0.spans.append(span)
            $0.isUsed = true
        }
    }

    /// Notes that `events`, one batch, were handled, after the failed tries `retries`.
    func handled(_ events: [OpenedEvent], at stage: StageName, retries: [String]) {
        let spans = events.map { event in
            Span.handling(
                event.encoded.envelope, at: stage, batch: events.count, start: began, end: began, links: retries)
        }
        state.withLock { $0.spans += spans }
    }

    /// Notes that an event became a dead letter.
    func buried(_ event: Envelope, at stage: StageName, reason: String, retries: [String]) {
        let span = Span.handling(
            event, at: stage, batch: 1, start: began, end: began, links: retries, failure: reason)
        state.withLock { $0.spans.append(span) }
    }

    /// Notes that a job was filed.
    func filed() { state.withLock { $0.isUsed = true } }

    /// The transaction has committed: its spans end now, and are handed on.
    func commit() {
        let end = Date()
        var spans = state.withLock { $0.spans }
        for place in spans.indices { spans[place].end = end }
        tracer.record(spans)
    }
}
