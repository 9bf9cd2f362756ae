import Foundation

/// An event as it travels: its envelope, and the body's bytes, which are JSON.
public struct EncodedEvent: Sendable, Equatable {
    public let envelope: Envelope
    public let body: [UInt8]

    /// An event whose body is encoded already, as the outbox holds it.
    public init(envelope: Envelope, body: [UInt8]) {
        self.envelope = envelope
        self.body = body
    }

    /// Encodes `payload` under `envelope`.
    /// - Throws: ``EventFault`` when the payload breaks its own schema, such as by a number that is not finite.
    public init<P: EventPayload>(_ payload: P, envelope: Envelope) throws(EventFault) {
        precondition(envelope.type == P.type, "a \(P.type) payload under an envelope of type \(envelope.type)")
        if let body = BodyEncoder.encode(payload) {
            self.init(envelope: envelope, body: body)
        } else {
            do {
                self.init(envelope: envelope, body: Array(try CodableTimes.encoder.encode(payload)))
            } catch {
                throw EventFault(.schemaViolation, "\(P.type) cannot be encoded: \(error)")
            }
        }
        guard payload.isWellFormed else { throw EventSchema.fault(of: self.body, type: P.type) }
    }

    /// Encodes `payload`, whose own subject becomes the envelope's.
    /// - Throws: ``EventFault`` when the payload breaks its own schema.
    public init<P: EventPayload>(
        _ payload: P, id: EventID, source: String, time: Date, causeID: EventID? = nil, rootID: EventID? = nil,
        traceparent: String? = nil
    ) throws(EventFault) {
        let envelope = Envelope(
            id: id, type: P.type, source: source, subject: payload.subject, time: time, causeID: causeID,
            rootID: rootID, traceparent: traceparent)
        try self.init(payload, envelope: envelope)
    }

    /// The body as a payload.
    /// - Throws: ``EventFault`` naming the field at fault.
    public func payload<P: EventPayload>(as: P.Type = P.self) throws(EventFault) -> P {
        guard envelope.type == P.type else {
            throw EventFault(.unknownType, "expected an event of type \(P.type), found \(envelope.type)")
        }
        return try EventSchema.decode(P.self, from: body)
    }
}
