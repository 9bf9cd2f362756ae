import Foundation

/// A Swift type that a column's value can be read as.
public protocol PostgresDecodable: Sendable {
    /// Reads `cell`.
    static func decode(_ cell: Cell) throws -> Self
}

extension Cell {
    var isNull: Bool { bytes == nil }

    /// The fault that this cell is when another type was asked for.
    var unexpected: CellFault {
        CellFault(found: isNull ? "null" : PostgresType.Scalar(rawValue: type)?.name ?? "a value of type OID \(type)")
    }

    func present() throws -> UnsafeRawBufferPointer {
        guard let bytes else { throw unexpected }
        return bytes
    }

    /// The cell as an integer of `T`'s width in network order.
    func integer<T: FixedWidthInteger>(_: T.Type, at offset: Int = 0) throws -> T {
        let bytes = try present()
        guard bytes.count >= offset + MemoryLayout<T>.size else { throw CellFault(found: "a cut-off value") }
        return T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// The cell as text, whatever its textual type.
    func text() throws -> String {
        let bytes = try present()
        switch type {
        case 25, 1043, 1042, 19, 114, 18, 705: return String(decoding: bytes, as: UTF8.self)
        case PostgresType.Scalar.jsonb.rawValue: return String(decoding: bytes.dropFirst(), as: UTF8.self)
        case PostgresType.Scalar.uuid.rawValue: return try UUID.decode(self).uuidString.lowercased()
        default: throw unexpected
        }
    }

    /// A `numeric` in decimal notation: digits to base 10,000, the first of them weighing 10,000 to the power `weight`.
    func numericText() throws -> String {
        let count = Int(try integer(Int16.self))
        let weight = Int(try integer(Int16.self, at: 2))
        let sign = try integer(UInt16.self, at: 4)
        switch sign {
        case 0xC000: return "nan"
        case 0xD000: return "inf"
        case 0xF000: return "-inf"
        default: break
        }
        var text = sign == 0x4000 ? "-" : ""
        text += "0"
        for index in 0..<count { text += Self.fourDigits(try integer(Int16.self, at: 8 + 2 * index)) }
        // The digits above, read as one whole number, still have to be shifted.
        let exponent = (weight - count + 1) * 4
        return exponent == 0 ? text : text + "e\(exponent)"
    }

    private static func fourDigits(_ value: Int16) -> String {
        let digits = String(value)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}

extension String: PostgresDecodable {
    public static func decode(_ cell: Cell) throws -> String { try cell.text() }
}

extension Int64: PostgresDecodable {
    /// Any integer type, and a whole `numeric` such as `sum` gives.
    public static func decode(_ cell: Cell) throws -> Int64 {
        switch cell.type {
        case 20: return try cell.integer(Int64.self)
        case 23: return Int64(try cell.integer(Int32.self))
        case 21: return Int64(try cell.integer(Int16.self))
        case 26: return Int64(try cell.integer(UInt32.self))
        case 1700:
            let text = try cell.numericText()
            // A `Decimal` prints a whole number without point and exponent.
            guard let value = Decimal(string: text), let whole = Int64("\(value)") else {
                throw CellFault(found: "the number \(text)")
            }
            return whole
        default: throw cell.unexpected
        }
    }
}

extension Int: PostgresDecodable {
    public static func decode(_ cell: Cell) throws -> Int { Int(try Int64.decode(cell)) }
}

extension Int32: PostgresDecodable {
    public static func decode(_ cell: Cell) throws -> Int32 {
        let value = try Int64.decode(cell)
        guard let narrow = Int32(exactly: value) else { throw CellFault(found: "\(value)") }
        return narrow
    }
}

extension Double: PostgresDecodable {
    /// `float8`, `float4`, `numeric` and the integers.
    public static func decode(_ cell: Cell) throws -> Double {
        switch cell.type {
        case 701: return Double(bitPattern: try cell.integer(UInt64.self))
        case 700: return Double(Float(bitPattern: try cell.integer(UInt32.self)))
        case 1700:
            let text = try cell.numericText()
            guard let value = Double(text) else { throw CellFault(found: "the number \(text)") }
            return value
        default: return Double(try Int64.decode(cell))
        }
    }
}

extension Bool: PostgresDecodable {
    public static func decode(_ cell: Cell) throws -> Bool {
        guard cell.type == 16 else { throw cell.unexpected }
        return try cell.integer(UInt8.self) != 0
    }
}

extension UUID: PostgresDecodable {
    public static func decode(_ cell: Cell) throws -> UUID {
        guard cell.type == 2950, try cell.present().count == 16 else { throw cell.unexpected }
        return UUID(uuid: try cell.present().loadUnaligned(as: uuid_t.self))
    }
}

extension Date: PostgresDecodable {
    /// `timestamptz`, `timestamp` (taken as UTC) and `date` (its midnight in UTC).
    public static func decode(_ cell: Cell) throws -> Date {
        switch cell.type {
        case 1184, 1114: return PostgresTime.date(microseconds: try cell.integer(Int64.self))
        case 1082: return PostgresTime.date(microseconds: Int64(try cell.integer(Int32.self)) * 86_400_000_000)
        default: throw cell.unexpected
        }
    }
}

extension Data: PostgresDecodable {
    public static func decode(_ cell: Cell) throws -> Data {
        guard cell.type == 17 else { throw cell.unexpected }
        return Data(try cell.present())
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    public static func decode(_ cell: Cell) throws -> Wrapped? { cell.isNull ? nil : try Wrapped.decode(cell) }
}

/// An element type of arrays that can be read. `UInt8` is one whose arrays are `bytea`.
public protocol PostgresArrayDecodable: Sendable {
    static func decodeArray(_ cell: Cell) throws -> [Self]
}

extension PostgresArrayDecodable where Self: PostgresDecodable {
    public static func decodeArray(_ cell: Cell) throws -> [Self] {
        let dimensions = try cell.integer(Int32.self)
        let element = try cell.integer(UInt32.self, at: 8)
        if dimensions == 0 { return [] }
        guard dimensions == 1 else { throw CellFault(found: "an array of \(dimensions) dimensions") }
        let count = Int(try cell.integer(Int32.self, at: 12))
        let bytes = try cell.present()
        var values: [Self] = []
        values.reserveCapacity(count)
        var offset = 20
        for _ in 0..<count {
            let length = Int(try cell.integer(Int32.self, at: offset))
            offset += 4
            guard length >= 0 else {
                values.append(try decode(Cell(type: element, bytes: nil)))
                continue
            }
            guard bytes.count >= offset + length else { throw CellFault(found: "a cut-off array") }
            values.append(try decode(Cell(type: element, bytes: .init(rebasing: bytes[offset..<offset + length]))))
            offset += length
        }
        return values
    }
}

extension String: PostgresArrayDecodable {}
extension Int: PostgresArrayDecodable {}
extension Int64: PostgresArrayDecodable {}
extension Int32: PostgresArrayDecodable {}
extension Double: PostgresArrayDecodable {}
extension Bool: PostgresArrayDecodable {}
extension UUID: PostgresArrayDecodable {}
extension Date: PostgresArrayDecodable {}
extension Optional: PostgresArrayDecodable where Wrapped: PostgresDecodable {}

extension UInt8: PostgresArrayDecodable {
    public static func decodeArray(_ cell: Cell) throws -> [UInt8] { [UInt8](try Data.decode(cell)) }
}

extension Array: PostgresDecodable where Element: PostgresArrayDecodable {
    public static func decode(_ cell: Cell) throws -> [Element] {
        if cell.isNull { throw cell.unexpected }
        return try Element.decodeArray(cell)
    }
}

/// `bytea[]` is read as arrays of bytes.
extension Array: PostgresArrayDecodable where Element == UInt8 {}
