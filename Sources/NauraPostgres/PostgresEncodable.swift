import Foundation

/// A Swift type whose values can be bound in a ``Query``.
public protocol PostgresEncodable: Sendable {
    /// The type stated for the bind, also when the value is null.
    static var postgresType: PostgresType { get }
    /// The value to send.
    var postgresValue: PostgresValue { get }
}

/// An element type of arrays. `UInt8` is one whose arrays are `bytea`.
public protocol PostgresArrayElement: Sendable {
    static var postgresArrayType: PostgresType { get }
    static func postgresArray(_ elements: [Self]) -> PostgresValue
}

extension PostgresArrayElement where Self: PostgresEncodable {
    private static var scalar: PostgresType.Scalar {
        guard case .scalar(let scalar) = postgresType else { preconditionFailure("\(Self.self) is itself an array") }
        return scalar
    }
    public static var postgresArrayType: PostgresType { .array(scalar) }
    public static func postgresArray(_ elements: [Self]) -> PostgresValue {
        .array(scalar, elements.map(\.postgresValue))
    }
}

extension String: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.text) }
    /// A text cannot hold the character NUL in PostgreSQL; such a statement fails and says so.
    public var postgresValue: PostgresValue {
        // Over the bytes themselves: the view's own search is ten times slower.
        let holdsNUL = utf8.withContiguousStorageIfAvailable { $0.contains(0) } ?? utf8.contains(0)
        return holdsNUL ? .invalid("a text with the character U+0000 cannot be stored") : .text(self)
    }
}

extension Substring: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.text) }
    public var postgresValue: PostgresValue { String(self).postgresValue }
}

extension Int: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.int8) }
    public var postgresValue: PostgresValue { .int8(Int64(self)) }
}

extension Int64: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.int8) }
    public var postgresValue: PostgresValue { .int8(self) }
}

extension Int32: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.int4) }
    public var postgresValue: PostgresValue { .int4(self) }
}

extension Double: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.float8) }
    public var postgresValue: PostgresValue { .float8(self) }
}

extension Bool: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.bool) }
    public var postgresValue: PostgresValue { .bool(self) }
}

extension UUID: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.uuid) }
    public var postgresValue: PostgresValue { .uuid(self) }
}

extension Date: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.timestamptz) }
    /// The microsecond nearest to the date; `distantPast` and `distantFuture` are PostgreSQL's infinities.
    public var postgresValue: PostgresValue {
        PostgresTime.microseconds(of: self).map(PostgresValue.timestamptz)
            ?? .invalid("the time \(timeIntervalSinceReferenceDate) s is outside PostgreSQL's range")
    }
}

extension Data: PostgresEncodable, PostgresArrayElement {
    public static var postgresType: PostgresType { .scalar(.bytea) }
    public var postgresValue: PostgresValue { .bytea([UInt8](self)) }
}

extension UInt8: PostgresArrayElement {
    public static var postgresArrayType: PostgresType { .scalar(.bytea) }
    public static func postgresArray(_ elements: [UInt8]) -> PostgresValue { .bytea(elements) }
}

extension Array: PostgresEncodable where Element: PostgresArrayElement {
    public static var postgresType: PostgresType { Element.postgresArrayType }
    public var postgresValue: PostgresValue { Element.postgresArray(self) }
}

/// Arrays of bytes are elements of `bytea[]`.
extension Array: PostgresArrayElement where Element == UInt8 {
    public static var postgresArrayType: PostgresType { .array(.bytea) }
    public static func postgresArray(_ elements: [[UInt8]]) -> PostgresValue {
        .array(.bytea, elements.map(PostgresValue.bytea))
    }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
    public static var postgresType: PostgresType { Wrapped.postgresType }
    public var postgresValue: PostgresValue { self?.postgresValue ?? .null(Wrapped.postgresType) }
}

extension Optional: PostgresArrayElement where Wrapped: PostgresArrayElement & PostgresEncodable {}
