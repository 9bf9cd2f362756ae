import Foundation
import HTTPTypes
import Hummingbird
import NauraEvents
import NauraLedger
import NauraPostgres

/// `POST /api/v1/events/{type}`: an event through the outbox, safe when the answer comes.
///
/// The body is the payload; or a whole CloudEvent, structured (`application/cloudevents+json`) or with `ce-` headers.
struct PublishRoute: Sendable {
    let database: Database
    let onPublished: PublishedHandler

    /// Kafka refuses records over 1 MiB; headers and key need some of it.
    static let bodyBytesMax = 900_000
    static let source = "/naura/api"

    private struct Accepted: Encodable {
        let id: String
        let type: String
        let subject: String
        /// True when the same request had been accepted before.
        let repeated: Bool
    }

    func publish(_ request: Request, type name: String) async throws -> Response {
        let type = EventType(name)
        try checkPublishable(type)
        let contentType = (request.headers[.contentType] ?? "").lowercased()
        // Browsers ask before they send these types to another site's address; without that, any page could publish.
        guard contentType.hasPrefix("application/json") || contentType.hasPrefix("application/cloudevents+json") else {
            throw APIError(
                .unsupportedMediaType, .unsupportedMediaType,
                "expected the content type application/json or application/cloudevents+json")
        }
        let began = Date()
        let buffer = try await request.body.collect(upTo: Self.bodyBytesMax)
        let caller = request.headers[HTTPField.Name("traceparent")!].flatMap { Traceparent.isValid($0) ? $0 : nil }
        var event: EncodedEvent
        do throws(EventFault) {
            event = try read(Array(buffer.readableBytesView), type: type, headers: request.headers, contentType)
        } catch {
            throw APIError(error)
        }
        // An event that brings a trace context of its own has been published under it by whoever made it.
        let isTraced = event.envelope.traceparent.map(Traceparent.isValid) ?? false
        if !isTraced { event = event.traced(under: caller) }
        let isNew = try await Publisher.publish(event, in: database)
        if isNew, !isTraced { onPublished(event, caller, began) }
        if !isNew, let earlier = try await LedgerOverview.published(event.envelope.id, in: database),
            earlier.envelope.type != type || !earlier.says(event.body)
        {
            throw APIError(
                .unprocessableContent, .keyReused,
                "the event \(event.envelope.id) was published before with another body; use another key")
        }
        let envelope = event.envelope
        return try JSONAnswer.response(
            Accepted(id: envelope.id.rawValue, type: name, subject: envelope.subject, repeated: !isNew),
            status: .accepted)
    }

    private func checkPublishable(_ type: EventType) throws {
        guard let entry = EventCatalogue.entry(for: type) else {
            let known = EventCatalogue.entries.filter { $0.producers.contains("api") }.map(\.type.rawValue)
            throw APIError(
                .notFound, Self.unknownType,
                "`\(type)` is no event of Naura; clients publish \(known.joined(separator: ", "))")
        }
        guard entry.producers.contains("api") else {
            throw APIError(
                .forbidden, .notPublishable,
                "`\(type)` is said by \(entry.producers.joined(separator: ", ")) alone")
        }
    }

    private static let unknownType = APIError.Code(rawValue: EventFault.Code.unknownType.rawValue)

    private func read(
        _ body: [UInt8], type: EventType, headers: HTTPFields, _ contentType: String
    ) throws(EventFault) -> EncodedEvent {
        if contentType.hasPrefix("application/cloudevents+json") {
            return try checked(EncodedEvent.decodeStructured(body: body, topic: type.rawValue, recordTime: .now))
        }
        let attributes = headers.filter { $0.name.canonicalName.hasPrefix("ce-") }
        if !attributes.isEmpty {
            let binary = attributes.map { field in
                (name: "ce_" + field.name.canonicalName.dropFirst(3), value: Array(field.value.utf8))
            }
            return try checked(
                EncodedEvent.decode(headers: binary, body: body, topic: type.rawValue, recordTime: .now))
        }
        let subject = try EventCatalogue.payload(of: type, body: body).subject
        let id: EventID
        if let key = headers[HTTPField.Name("idempotency-key")!], !key.isEmpty {
            // Not of the subject: the same key with another dataset is another body, and refused as such.
            id = .derived(stage: "api", type: type, subject: "", about: key)
        } else {
            id = .random()
        }
        return EncodedEvent(
            envelope: Envelope(id: id, type: type, source: Self.source, subject: subject, time: .now), body: body)
    }

    /// A whole event's payload is checked like a bare one: the client hears of a fault at once.
    private func checked(_ event: EncodedEvent) throws(EventFault) -> EncodedEvent {
        _ = try EventCatalogue.payload(of: event.envelope.type, body: event.body)
        return event
    }
}

extension EncodedEvent {
    /// Whether `body` is this event's, or the same JSON in other bytes: some clients order their fields anew each time.
    fileprivate func says(_ body: [UInt8]) -> Bool {
        if self.body == body { return true }
        guard let mine = try? JSONValue(json: self.body), let other = try? JSONValue(json: body) else { return false }
        return mine == other
    }

    /// The same event, published under a span of the trace of `caller`, or of a new trace.
    fileprivate func traced(under caller: String?) -> EncodedEvent {
        EncodedEvent(
            envelope: Envelope(
                id: envelope.id, type: envelope.type, source: envelope.source, subject: envelope.subject,
                time: envelope.time, causeID: envelope.causeID, rootID: envelope.rootID,
                traceparent: Traceparent.published(
                    envelope.type, envelope.id, parent: caller, root: envelope.rootID),
                extensions: envelope.extensions), body: body)
    }
}
