import Crypto
import Foundation

/// What CloudEvents says about an event, beside its body.
public struct Envelope: Sendable, Equatable {
    /// Behind one reference: an envelope is handed on some twenty times, and nine fields would be counted each time.
    private final class Fields: Sendable {
        let id: EventID
        let type: EventType
        let source: String
        let subject: String
        let time: Date
        let causeID: EventID?
        let rootID: EventID
        let traceparent: String?
        let extensions: [String: String]

        init(
            id: EventID, type: EventType, source: String, subject: String, time: Date, causeID: EventID?,
            rootID: EventID, traceparent: String?, extensions: [String: String]
        ) {
            self.id = id
            self.type = type
            self.source = source
            self.subject = subject
            self.time = time
            self.causeID = causeID
            self.rootID = rootID
            self.traceparent = traceparent
            self.extensions = extensions
        }
    }

    private let fields: Fields

    public var id: EventID { fields.id }
    public var type: EventType { fields.type }
    /// Who said it; Naura's own begin with `/naura/`.
    public var source: String { fields.source }
    /// The Kafka key.
    public var subject: String { fields.subject }
    /// When it happened, to the microsecond; the record's timestamp where the event has no time of its own.
    public var time: Date { fields.time }
    /// The event that led to this one.
    public var causeID: EventID? { fields.causeID }
    /// The first event of the chain; an event without a cause is its own root.
    public var rootID: EventID { fields.rootID }
    /// W3C trace context of whoever said it.
    public var traceparent: String? { fields.traceparent }
    /// Further CloudEvents extensions, by lower-case name.
    public var extensions: [String: String] { fields.extensions }

    /// - Parameter rootID: nil when the event begins a chain.
    public init(
        id: EventID, type: EventType, source: String, subject: String, time: Date, causeID: EventID? = nil,
        rootID: EventID? = nil, traceparent: String? = nil, extensions: [String: String] = [:]
    ) {
        fields = Fields(
            id: id, type: type, source: source, subject: subject, time: time, causeID: causeID,
            rootID: rootID ?? id, traceparent: traceparent, extensions: extensions)
    }

    public static func == (left: Envelope, right: Envelope) -> Bool {
        let (left, right) = (left.fields, right.fields)
        return left === right
            || left.id == right.id && left.type == right.type && left.source == right.source
                && left.subject == right.subject && left.time == right.time && left.causeID == right.causeID
                && left.rootID == right.rootID && left.traceparent == right.traceparent
                && left.extensions == right.extensions
    }

    /// What the sources of Naura's own events begin with.
    public static let ownSourcePrefix = "/naura/"

    /// Whether Naura itself said this, so that its outbox holds it.
    public var isOwn: Bool { source.hasPrefix(Envelope.ownSourcePrefix) }

    /// Sixteen bytes that name the event among all sources: the first half of the SHA-256 of the id for Naura's own
    /// events, and of source and id otherwise, for CloudEvents promises only that the two together are unique.
    public var identity: UUID {
        var hash = SHA256()
        if !isOwn { hash.update(lengthPrefixed: source) }
        hash.update(lengthPrefixed: id.rawValue)
        return hash.finalize().withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
    }
}

/// An event whose payload is decoded: what a stage is handed.
public struct Event<Payload: EventPayload>: Sendable {
    public let envelope: Envelope
    public let payload: Payload

    public init(envelope: Envelope, payload: Payload) {
        self.envelope = envelope
        self.payload = payload
    }

    /// Decodes the payload of `encoded`.
    /// - Throws: ``EventFault`` naming the field at fault.
    public init(_ encoded: EncodedEvent) throws(EventFault) {
        self.init(envelope: encoded.envelope, payload: try encoded.payload(as: Payload.self))
    }

    public var id: EventID { envelope.id }
    public var source: String { envelope.source }
    public var subject: String { envelope.subject }
    public var time: Date { envelope.time }
    public var causeID: EventID? { envelope.causeID }
    public var rootID: EventID { envelope.rootID }
    public var traceparent: String? { envelope.traceparent }
}
