extension JSONReader {
    /// The value of a text, its escapes resolved.
    func string(_ text: Text) -> String {
        text.isEscaped
            ? String(decoding: unescaped(text), as: UTF8.self)
            : String(decoding: bytes[text.start..<text.end], as: UTF8.self)
    }

    /// The UTF-8 bytes of a text's value. Its escapes were checked when it was read.
    func unescaped(_ text: Text) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.end - text.start)
        var index = text.start
        while index < text.end {
            guard bytes[index] == 0x5C else {
                result.append(bytes[index])
                index += 1
                continue
            }
            let kind = bytes[index + 1]
            guard kind == 0x75 else {
                result.append(simpleEscape(kind))
                index += 2
                continue
            }
            var scalar = hexValue(at: index + 2)
            index += 6
            if scalar & 0xFC00 == 0xD800 {
                scalar = 0x10000 + (scalar & 0x3FF) << 10 + hexValue(at: index + 2) & 0x3FF
                index += 6
            }
            if let scalar = Unicode.Scalar(scalar) { result.append(contentsOf: Array(String(Character(scalar)).utf8)) }
        }
        return result
    }

    private func simpleEscape(_ kind: UInt8) -> UInt8 {
        switch kind {
        case 0x62: 0x08
        case 0x66: 0x0C
        case 0x6E: 0x0A
        case 0x72: 0x0D
        case 0x74: 0x09
        default: kind
        }
    }

    private func hexValue(at start: Int) -> UInt32 {
        var value: UInt32 = 0
        for index in start..<start + 4 { value = value << 4 | UInt32(hexDigit(bytes[index]) ?? 0) }
        return value
    }
}

/// JSON written by hand into an array of bytes.
extension [UInt8] {
    /// Appends ASCII as it stands.
    @inline(__always)
    mutating func append(_ literal: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    /// Appends `text` in quotes, escaped where JSON demands it.
    mutating func appendJSON(_ text: String) {
        append(0x22)
        appendEscaped(text.utf8)
        append(0x22)
    }

    /// Appends UTF-8 bytes as the inside of a JSON text.
    mutating func appendEscaped(_ bytes: some Sequence<UInt8>) {
        for byte in bytes {
            switch byte {
            case 0x22, 0x5C:
                append(0x5C)
                append(byte)
            case 0..<0x20:
                append("\\u00")
                append(hexDigits[Int(byte >> 4)])
                append(hexDigits[Int(byte & 15)])
            default: append(byte)
            }
        }
    }

    /// Appends a whole number in decimal.
    mutating func appendDecimal(_ value: Int) {
        if value < 0 { append(0x2D) }
        let magnitude = value.magnitude
        var place: UInt = 1
        while magnitude / place >= 10 { place *= 10 }
        while place > 0 {
            append(0x30 + UInt8(truncatingIfNeeded: magnitude / place % 10))
            place /= 10
        }
    }

    /// Appends the shortest decimal that reads back as `value`, which is finite.
    mutating func appendShortest(_ value: Float) { append(contentsOf: value.description.utf8) }

    /// Appends the shortest decimal that reads back as `value`, which is finite.
    mutating func appendShortest(_ value: Double) { append(contentsOf: value.description.utf8) }

    /// Appends 16 lower-case hex digits.
    mutating func appendHex(_ value: UInt64) {
        for shift in stride(from: 60, through: 0, by: -4) { append(hexDigits[Int(value >> UInt64(shift) & 15)]) }
    }
}

private let hexDigits: [UInt8] = Array("0123456789abcdef".utf8)
