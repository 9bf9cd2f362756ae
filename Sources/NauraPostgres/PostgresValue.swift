import Foundation

/// A type that a bound value can have. Values are sent with their type stated and in binary form, so a bind means
/// the same alone and gathered with others.
public enum PostgresType: Hashable, Sendable {
    /// One value.
    case scalar(Scalar)
    /// A one-dimensional array.
    case array(Scalar)

    /// The scalar types; the raw value is the type's OID, which PostgreSQL never changes.
    public enum Scalar: UInt32, Hashable, Sendable {
        case bool = 16
        case bytea = 17
        case int8 = 20
        case int2 = 21
        case int4 = 23
        case text = 25
        case float4 = 700
        case float8 = 701
        case timestamptz = 1184
        case uuid = 2950
        case jsonb = 3802

        /// The OID of the array type over this one.
        var arrayOID: UInt32 {
            switch self {
            case .bool: 1000
            case .bytea: 1001
            case .int8: 1016
            case .int2: 1005
            case .int4: 1007
            case .text: 1009
            case .float4: 1021
            case .float8: 1022
            case .timestamptz: 1185
            case .uuid: 2951
            case .jsonb: 3807
            }
        }

        /// The type's name in SQL.
        var name: String { "\(self)" }
    }

    /// The OID sent with the bind.
    var oid: UInt32 {
        switch self {
        case .scalar(let scalar): scalar.rawValue
        case .array(let element): element.arrayOID
        }
    }

    /// The type's name in SQL.
    var name: String {
        switch self {
        case .scalar(let scalar): scalar.name
        case .array(let element): element.name + "[]"
        }
    }
}

/// One bound value.
public enum PostgresValue: Sendable {
    case null(PostgresType)
    case bool(Bool)
    case int4(Int32)
    case int8(Int64)
    case float8(Double)
    case text(String)
    case bytea([UInt8])
    case uuid(UUID)
    /// Microseconds since 2000-01-01 00:00 UTC.
    case timestamptz(Int64)
    /// UTF-8 text of a JSON value.
    case jsonb([UInt8])
    case array(PostgresType.Scalar, [PostgresValue])
    /// A value that could not be encoded; the statement fails with this message.
    case invalid(String)

    /// The value's type.
    public var type: PostgresType {
        switch self {
        case .null(let type): type
        case .bool: .scalar(.bool)
        case .int4: .scalar(.int4)
        case .int8: .scalar(.int8)
        case .float8: .scalar(.float8)
        case .text, .invalid: .scalar(.text)
        case .bytea: .scalar(.bytea)
        case .uuid: .scalar(.uuid)
        case .timestamptz: .scalar(.timestamptz)
        case .jsonb: .scalar(.jsonb)
        case .array(let element, _): .array(element)
        }
    }

    /// Whether this is an SQL null.
    public var isNull: Bool { if case .null = self { true } else { false } }

    /// About how many bytes the value takes on the wire.
    var size: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .bytea(let bytes), .jsonb(let bytes): bytes.count
        case .array(_, let elements): elements.reduce(20) { $0 + $1.size + 4 }
        default: 8
        }
    }

    /// Appends the binary form, without a length.
    func write(to bytes: inout [UInt8]) {
        switch self {
        case .null, .invalid: break
        case .bool(let value): bytes.append(value ? 1 : 0)
        case .int4(let value): bytes.append(bigEndian: value)
        case .int8(let value), .timestamptz(let value): bytes.append(bigEndian: value)
        case .float8(let value): bytes.append(bigEndian: value.bitPattern)
        case .text(let text): bytes.append(contentsOf: text.utf8)
        case .bytea(let value): bytes.append(contentsOf: value)
        case .uuid(let value): withUnsafeBytes(of: value.uuid) { bytes.append(contentsOf: $0) }
        case .jsonb(let text):
            bytes.append(1)  // the version of jsonb's binary form
            bytes.append(contentsOf: text)
        case .array(let element, let elements):
            Self.writeArray(of: element, count: elements.count, to: &bytes) { elements[$0] }
        }
    }

    /// Appends the length and the binary form, or −1 for a null.
    func writeWithLength(to bytes: inout [UInt8]) {
        if isNull {
            bytes.append(bigEndian: Int32(-1))
            return
        }
        let start = bytes.count
        bytes.append(bigEndian: Int32(0))
        write(to: &bytes)
        bytes.replace(at: start, bigEndian: Int32(bytes.count - start - 4))
    }

    /// Appends a one-dimensional array in binary form.
    static func writeArray(
        of element: PostgresType.Scalar, count: Int, to bytes: inout [UInt8], value: (Int) -> PostgresValue
    ) {
        // An array without elements has no dimension at all.
        bytes.append(bigEndian: Int32(count == 0 ? 0 : 1))
        let flagAt = bytes.count
        bytes.append(bigEndian: Int32(0))
        bytes.append(bigEndian: element.rawValue)
        guard count > 0 else { return }
        bytes.append(bigEndian: Int32(count))
        bytes.append(bigEndian: Int32(1))
        var hasNull = false
        for index in 0..<count {
            let value = value(index)
            hasNull = hasNull || value.isNull
            value.writeWithLength(to: &bytes)
        }
        if hasNull { bytes.replace(at: flagAt, bigEndian: Int32(1)) }
    }

    /// The value as PostgreSQL's array input reads it, for arrays of unequal length that cannot be unnested.
    var arrayLiteral: String {
        guard case .array(_, let elements) = self else { return "" }
        return "{" + elements.map(\.literalElement).joined(separator: ",") + "}"
    }

    private var literalElement: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "t" : "f"
        case .int4(let value): "\(value)"
        case .int8(let value): "\(value)"
        // Swift prints the shortest digits that read back as the same number, and nan, inf, -inf as PostgreSQL does.
        case .float8(let value): "\(value)"
        case .text(let text): Self.quote(text)
        case .uuid(let value): value.uuidString
        case .bytea(let value): Self.quote("\\x" + value.map { Self.hex($0) }.joined())
        case .timestamptz(let value): Self.quote(PostgresTime.text(microseconds: value))
        case .jsonb(let text): Self.quote(String(decoding: text, as: UTF8.self))
        case .array, .invalid: "null"
        }
    }

    private static func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }

    private static func quote(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}

extension [UInt8] {
    /// Appends an integer in network order.
    @inline(__always)
    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    /// Overwrites four bytes that were reserved for a length.
    mutating func replace(at index: Int, bigEndian value: Int32) {
        Swift.withUnsafeBytes(of: value.bigEndian) { source in
            for offset in 0..<4 { self[index + offset] = source[offset] }
        }
    }
}
