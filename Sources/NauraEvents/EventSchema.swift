import Foundation
import NauraSchemas
import Synchronization

/// Checks bodies against `schemas/<type>.v<version>.json`.
///
/// A good body is decoded once and asked once whether it is well formed; only a bad one meets the schema, which then
/// names the field at fault. A test holds the two judgements against each other.
public enum EventSchema {
    /// Checks `body` as the payload of `type`.
    /// - Throws: ``EventFault`` naming the field at fault.
    public static func validate(_ body: [UInt8], type: EventType) throws(EventFault) {
        _ = try EventCatalogue.payload(of: type, body: body)
    }

    /// Decodes `body`.
    /// - Throws: ``EventFault`` naming the field at fault.
    static func decode<P: EventPayload>(_: P.Type, from body: [UInt8]) throws(EventFault) -> P {
        if let payload = BodyDecoder.decode(P.self, from: body), payload.isWellFormed { return payload }
        let payload: P
        do {
            payload = try CodableTimes.decoder.decode(P.self, from: Data(body))
        } catch {
            throw fault(of: body, type: P.type, decoding: error)
        }
        guard payload.isWellFormed, BodyScan.isStrict(body) else { throw fault(of: body, type: P.type) }
        return payload
    }

    /// The fault of a body that did not pass.
    static func fault(of body: [UInt8], type: EventType, decoding error: (any Error)? = nil) -> EventFault {
        do {
            let value = try JSONValue.parsed(body)
            if value.holdsNUL {
                return EventFault(.schemaViolation, "the body contains the character U+0000, which no table can hold")
            }
            if let found = try schema(of: type).firstViolation(of: value) {
                return EventFault(.schemaViolation, found)
            }
        } catch let fault as EventFault {
            return fault
        } catch {
            return EventFault(.notJSON, "the schema of \(type) cannot be read: \(error)")
        }
        let cause = error.map { ": \($0)" } ?? ""
        return EventFault(.schemaViolation, "the body is not a valid \(type)\(cause)")
    }

    /// The compiled schema of `type`.
    static func schema(of type: EventType) throws -> JSONSchema {
        try compiled.withLock { schemas in
            if let schema = schemas[type] { return schema }
            guard let entry = EventCatalogue.entry(for: type), let text = EmbeddedFiles.text(entry.schemaFile) else {
                throw EventFault(.unknownType, "`\(type)` is no event of Naura")
            }
            let schema = try JSONSchema(json: Array(text.utf8))
            schemas[type] = schema
            return schema
        }
    }

    private static let compiled = Mutex<[EventType: JSONSchema]>([:])
}

extension JSONValue {
    /// Reads JSON of any shape.
    /// - Throws: ``EventFault`` with the parser's own words and, where it gives one, the place.
    static func parsed(_ body: [UInt8]) throws(EventFault) -> JSONValue {
        do {
            let value = try JSONValue(json: body)
            guard BodyScan.isStrict(body) || value.holdsNUL else {
                throw EventFault(.notJSON, "the body is not JSON: a comma stands before a closing bracket")
            }
            return value
        } catch let fault as EventFault {
            throw fault
        } catch let DecodingError.dataCorrupted(context) {
            let detail = (context.underlyingError as NSError?)?.userInfo[NSDebugDescriptionErrorKey] as? String
            throw EventFault(.notJSON, "the body is not JSON: \(detail ?? context.debugDescription)")
        } catch {
            throw EventFault(.notJSON, "the body is not JSON: \(error)")
        }
    }

    /// Whether any text within contains U+0000.
    var holdsNUL: Bool {
        switch self {
        case .string(let text): text.utf8.contains(0)
        case .array(let elements): elements.contains(where: \.holdsNUL)
        case .object(let members): members.contains { $0.key.utf8.contains(0) || $0.value.holdsNUL }
        default: false
        }
    }
}
