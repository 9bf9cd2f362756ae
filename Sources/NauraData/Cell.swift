/// What the text of one field is, before any contract is asked.
public struct Cell: Sendable, Equatable {
    /// The kinds of text, the most particular first.
    public enum Kind: UInt8, Sendable {
        /// No character, or blanks only.
        case blank
        /// One of the marks that programs write for a missing value, such as `NA`; a value only in a text column.
        case nullMark
        case integer
        case number
        case boolean
        case timestamp
        case text
    }

    /// What the text is.
    public let kind: Kind
    /// The number; 1 or 0 for a boolean; microseconds since the epoch for a timestamp (exact until the year 2255).
    public let value: Double

    @inline(__always)
    init(_ kind: Kind, _ value: Double = 0) {
        self.kind = kind
        self.value = value
    }

    /// Reads the text of a field; blanks around it do not count.
    ///
    /// Integers and numbers are decimal, with an optional exponent; infinities are text. Booleans are `true` and
    /// `false` in any case. Timestamps: see ``Timestamp/microseconds(_:)``.
    @inline(__always)
    public static func read(_ field: UnsafeBufferPointer<UInt8>) -> Cell {
        let bytes = trimmed(field)
        guard let first = bytes.first else { return Cell(.blank) }
        if first <= UInt8(ascii: "9"), first >= UInt8(ascii: "+") {
            return numberOrTimestamp(bytes)
        }
        return bytes.count <= 5 ? word(bytes) : Cell(.text)
    }

    /// The cell of `text`.
    public static func read(_ text: String) -> Cell {
        var text = text
        return text.withUTF8 { read($0) }
    }

    /// Whether the text is a number.
    public var isNumber: Bool { kind == .integer || kind == .number }

    /// The moment that the text means, in microseconds since the epoch: a timestamp, or a number as
    /// ``Timestamp/microseconds(epoch:)`` has it.
    public var moment: Int64? {
        switch kind {
        case .timestamp: Int64(value)
        case .integer, .number: Timestamp.microseconds(epoch: value)
        case .blank, .nullMark, .boolean, .text: nil
        }
    }

    private static func numberOrTimestamp(_ bytes: UnsafeBufferPointer<UInt8>) -> Cell {
        if let number = DecimalNumber.read(bytes) { return Cell(number.isInteger ? .integer : .number, number.value) }
        if let moment = Timestamp.microseconds(bytes) { return Cell(.timestamp, Double(moment)) }
        return Cell(.text)
    }

    private static func word(_ bytes: UnsafeBufferPointer<UInt8>) -> Cell {
        // Lower case in one word: the marks are at most five ASCII letters.
        var word: UInt64 = 0
        for byte in bytes {
            let isUpper = byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
            word = word << 8 | UInt64(isUpper ? byte | 0x20 : byte)
        }
        if word == Words.true { return Cell(.boolean, 1) }
        if word == Words.false { return Cell(.boolean, 0) }
        return Cell(Words.nullMarks.contains(word) ? .nullMark : .text)
    }

    private enum Words {
        static let `true` = packed("true")
        static let `false` = packed("false")
        static let nullMarks: Set<UInt64> = Set(
            ["na", "n/a", "#n/a", "nan", "nat", "null", "none", "\\n", "?"].map(packed))

        static func packed(_ text: String) -> UInt64 { text.utf8.reduce(0) { $0 << 8 | UInt64($1) } }
    }

    /// Whether `bytes` are a decimal number and nothing else.
    static func isNumber(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool { DecimalNumber.read(bytes) != nil }

    /// `bytes` without blanks at either end.
    @inline(__always)
    static func trimmed(_ bytes: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        var start = 0
        var end = bytes.count
        while start < end, isBlank(bytes[start]) { start += 1 }
        while end > start, isBlank(bytes[end - 1]) { end -= 1 }
        return UnsafeBufferPointer(rebasing: bytes[start..<end])
    }

    /// `text` without blanks at either end.
    static func trimmed(_ text: String) -> String {
        var text = text
        return text.withUTF8 { String(decoding: trimmed($0), as: UTF8.self) }
    }

    @inline(__always)
    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
}

/// A decimal number, read to the nearest double.
enum DecimalNumber {
    /// Powers of ten that a double holds exactly.
    private static let powers: [Double] = (0...22).map { exponent in
        (0..<exponent).reduce(1.0) { power, _ in power * 10 }
    }

    /// The value of `bytes`; nil when they are no finite decimal number.
    @inline(__always)
    static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> (value: Double, isInteger: Bool)? {
        var index = 0
        let count = bytes.count
        var isNegative = false
        if index < count, bytes[index] == UInt8(ascii: "-") || bytes[index] == UInt8(ascii: "+") {
            isNegative = bytes[index] == UInt8(ascii: "-")
            index += 1
        }
        var mantissa: UInt64 = 0
        var digits = 0
        var scale = 0
        var isInteger = true
        while index < count, let digit = digit(bytes[index]) {
            if digits < 18 { mantissa = mantissa &* 10 &+ digit }
            digits += 1
            index += 1
        }
        if index < count, bytes[index] == UInt8(ascii: ".") {
            isInteger = false
            index += 1
            while index < count, let digit = digit(bytes[index]) {
                if digits < 18 { mantissa = mantissa &* 10 &+ digit }
                digits += 1
                scale -= 1
                index += 1
            }
        }
        guard digits > 0 else { return nil }
        if index < count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            guard let exponent = exponent(bytes, from: index + 1) else { return nil }
            scale += exponent
            index = count
        }
        guard index == count else { return nil }
        // Mantissa and power are exact below these limits, so one operation rounds once (Clinger, 1990).
        if digits <= 18, mantissa <= 1 << 53, scale >= -22, scale <= 22 {
            let magnitude = scale < 0 ? Double(mantissa) / powers[-scale] : Double(mantissa) * powers[scale]
            return (isNegative ? -magnitude : magnitude, isInteger)
        }
        guard let value = Double(String(decoding: bytes, as: UTF8.self)), value.isFinite else { return nil }
        return (value, isInteger)
    }

    @inline(__always)
    private static func digit(_ byte: UInt8) -> UInt64? {
        let value = byte &- UInt8(ascii: "0")
        return value < 10 ? UInt64(value) : nil
    }

    private static func exponent(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
        var index = start
        var isNegative = false
        if index < bytes.count, bytes[index] == UInt8(ascii: "-") || bytes[index] == UInt8(ascii: "+") {
            isNegative = bytes[index] == UInt8(ascii: "-")
            index += 1
        }
        guard index < bytes.count else { return nil }
        var value = 0
        while index < bytes.count {
            guard let digit = digit(bytes[index]) else { return nil }
            value = min(value * 10 + Int(digit), 100_000)
            index += 1
        }
        return isNegative ? -value : value
    }
}
