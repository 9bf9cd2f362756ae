import Foundation

/// Any JSON value: for parts of a payload whose shape belongs to somebody else, and for the schema's validator.
///
/// `1.0` is an integer, as JSON Schema has it. Objects do not keep the order of their members.
public enum JSONValue: Codable, Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
            return
        }
        // A failed attempt throws; the order is by how often a kind is met.
        do {
            self = .string(try container.decode(String.self))
            return
        } catch DecodingError.typeMismatch {}
        do {
            self = .integer(try container.decode(Int64.self))
            return
        } catch {
            // Not a whole number in range. Foundation says so by an error of its own, which is no `DecodingError`.
        }
        do {
            self = .number(try container.decode(Double.self))
            return
        } catch DecodingError.typeMismatch {}
        do {
            self = .bool(try container.decode(Bool.self))
            return
        } catch DecodingError.typeMismatch {}
        do {
            self = .object(try container.decode([String: JSONValue].self))
            return
        } catch DecodingError.typeMismatch {}
        self = .array(try container.decode([JSONValue].self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }

    /// The value that `json` spells.
    /// - Throws: Foundation's decoding error when it is not JSON.
    public init(json: [UInt8]) throws { self = try CodableTimes.decoder.decode(JSONValue.self, from: Data(json)) }

    /// The value that `encodable` encodes to, with Naura's times.
    /// - Throws: Foundation's encoding error, such as for a number that is not finite.
    public init(encoding encodable: some Encodable) throws {
        self = try CodableTimes.decoder.decode(JSONValue.self, from: CodableTimes.encoder.encode(encodable))
    }

    /// The member `name` of an object; nil for other values.
    public subscript(name: String) -> JSONValue? {
        if case .object(let members) = self { members[name] } else { nil }
    }

    /// The text of a string; nil for other values.
    public var string: String? { if case .string(let value) = self { value } else { nil } }

    /// The value of any number; nil for other values.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The elements of an array; nil for other values.
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

    /// The kind, in JSON Schema's words where it has one and plain ones otherwise.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "text"
        case .array: "list"
        case .object: "object"
        }
    }
}
