// One span: a stretch of work, in the trace of the event that led to it.

import Foundation
import NauraEvents
import NauraLedger

/// A stretch of work as it is exported. Ids stand in a ``Traceparent``.
struct Span: Sendable {
    /// As OTLP numbers them.
    enum Kind: Int, Sendable {
        case `internal` = 1
        case server, client, producer, consumer
    }

    /// The span's own trace and id.
    let context: String
    /// The span that led to it, of the same trace; nil for the first of a trace.
    let parent: String?
    let name: String
    let kind: Kind
    let start: Date
    var end: Date
    var attributes: [(key: String, value: Value)]
    /// Spans that this one follows from without being their child: earlier tries, work in other traces.
    var links: [String] = []
    /// Why it failed; nil when it did not.
    var failure: String?

    enum Value: Sendable {
        case text(String)
        case number(Int)
    }
}

extension Span {
    /// The handling of `event` by `stage`. The try that settled the event has its canonical name, so that what it said
    /// can be a child of it; a failed try has `attempt` beside it.
    static func handling(
        _ event: Envelope, at stage: StageName, attempt: String? = nil, batch: Int, start: Date, end: Date,
        links: [String] = [], failure: String? = nil
    ) -> Span {
        let name = SpanName.handling(event.id, at: stage)
        return Span(
            context: Traceparent.child(
                of: event.traceparent, root: event.rootID, span: attempt.map { "\(name) \($0)" } ?? name),
            parent: event.traceparent, name: stage.rawValue, kind: .consumer, start: start, end: end,
            attributes: [
                ("naura.stage", .text(stage.rawValue)), ("cloudevents.event_id", .text(event.id.rawValue)),
                ("cloudevents.event_type", .text(event.type.rawValue)),
                ("cloudevents.event_source", .text(event.source)),
                ("cloudevents.event_subject", .text(event.subject)), ("messaging.system", .text("kafka")),
                ("messaging.operation.type", .text("process")),
                ("messaging.destination.name", .text(event.type.rawValue)),
                ("messaging.batch.message_count", .number(batch)),
            ], links: links, failure: failure)
    }

    /// One try of a job, ending now. It links to the try before it.
    static func job(_ job: ClaimedJob, start: Date, failure: String? = nil) -> Span {
        func context(_ epoch: Int) -> String {
            Traceparent.child(
                of: job.traceparent, root: job.rootID ?? EventID(rawValue: job.about),
                span: SpanName.job(job.kind.rawValue, job.about, epoch: epoch))
        }
        let isRetry = (job.tries > 0 || job.deaths > 0) && job.epoch > 1
        return Span(
            context: context(job.epoch), parent: job.traceparent, name: job.kind.rawValue, kind: .internal,
            start: start, end: Date(),
            attributes: [
                ("naura.job.kind", .text(job.kind.rawValue)), ("naura.job.id", .number(job.id)),
                ("naura.job.key", .text(job.key)), ("naura.job.about", .text(job.about)),
                ("naura.job.tries", .number(job.tries)), ("naura.job.deaths", .number(job.deaths)),
            ], links: isRetry ? [context(job.epoch - 1)] : [], failure: failure)
    }

    /// The publishing of an event: from the moment at which it was said until it is safe in the outbox.
    static func publishing(
        _ event: Envelope, parent: String?, links: [String] = [], start: Date, end: Date
    ) -> Span? {
        guard let context = event.traceparent else { return nil }
        return Span(
            context: context, parent: parent, name: "publish \(event.type)", kind: .producer, start: start, end: end,
            attributes: [
                ("cloudevents.event_id", .text(event.id.rawValue)),
                ("cloudevents.event_type", .text(event.type.rawValue)),
                ("cloudevents.event_source", .text(event.source)),
                ("cloudevents.event_subject", .text(event.subject)), ("messaging.system", .text("kafka")),
                ("messaging.operation.type", .text("send")),
                ("messaging.destination.name", .text(event.type.rawValue)),
            ], links: links)
    }
}

/// What spans' ids are hashes of.
enum SpanName {
    static func handling(_ event: EventID, at stage: StageName) -> String { "\(stage) \(event)" }
    /// One a lease: each try of a job has a span of its own.
    static func job(_ kind: String, _ about: String, epoch: Int) -> String { "\(kind) \(about) \(epoch)" }
}

extension Traceparent {
    /// Whether two contexts are of one trace.
    static func sameTrace(_ one: String, _ other: String) -> Bool { ids(of: one)?.trace == ids(of: other)?.trace }
}
