/// A strict reader of JSON bytes (RFC 8259) that allocates nothing: values are positions in the bytes.
///
/// The caller says what it expects next; whatever else stands there is a ``JSONFault`` with its offset. Texts are
/// checked to be UTF-8, so that a part of an accepted body can be copied into an event unchanged.
struct JSONReader {
    /// Deeper nesting is refused, so that a body of brackets cannot exhaust the stack.
    static let depthMax = 64

    /// A text without its quotes.
    struct Text {
        /// The first byte after the opening quote.
        let start: Int
        /// The closing quote.
        let end: Int
        /// Whether it holds a backslash, so that its bytes are not its value.
        let isEscaped: Bool
    }

    /// A number and where it stands.
    struct Number {
        let start: Int
        let end: Int
        /// Infinite where the text names more than a Double holds.
        let value: Double
        /// Whether it is written without fraction and exponent.
        let isInteger: Bool
    }

    /// Lent by the caller, who keeps the memory alive for as long as the reader.
    let bytes: UnsafeBufferPointer<UInt8>
    /// The next byte to read.
    var position: Int

    init(_ bytes: UnsafeBufferPointer<UInt8>, at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    /// The next byte that is no white space, which stays unread.
    @inline(__always)
    mutating func peek() throws(JSONFault) -> UInt8 {
        while position < bytes.count {
            let byte = bytes[position]
            if byte > 0x20 { return byte }
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else {
                throw JSONFault(reason: .unexpectedByte, offset: position)
            }
            position += 1
        }
        throw JSONFault(reason: .unexpectedEnd, offset: position)
    }

    /// Takes `byte`, after white space.
    @inline(__always)
    mutating func expect(_ byte: UInt8) throws(JSONFault) {
        guard try peek() == byte else { throw JSONFault(reason: .unexpectedByte, offset: position) }
        position += 1
    }

    /// Takes `byte` if it is the next, after white space.
    @inline(__always)
    mutating func take(_ byte: UInt8) throws(JSONFault) -> Bool {
        guard try peek() == byte else { return false }
        position += 1
        return true
    }

    /// Whether another member or element follows: takes a comma, or `closing`.
    @inline(__always)
    mutating func takeNext(orEnd closing: UInt8) throws(JSONFault) -> Bool {
        let byte = try peek()
        position += 1
        if byte == 0x2C { return true }
        guard byte == closing else { throw JSONFault(reason: .unexpectedByte, offset: position - 1) }
        return false
    }

    /// Takes a member's name and the colon after it.
    @inline(__always)
    mutating func name() throws(JSONFault) -> Text {
        let text = try text()
        try expect(0x3A)
        return text
    }

    /// Takes a text.
    mutating func text() throws(JSONFault) -> Text {
        try expect(0x22)
        let start = position
        var isEscaped = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == 0x22 {
                position += 1
                return Text(start: start, end: position - 1, isEscaped: isEscaped)
            }
            if byte == 0x5C {
                isEscaped = true
                try escape()
            } else if byte >= 0x80 {
                try multiByteCharacter()
            } else if byte >= 0x20 {
                position += 1
            } else {
                throw JSONFault(reason: .controlCharacter, offset: position)
            }
        }
        throw JSONFault(reason: .unclosedString, offset: position)
    }

    /// Takes one of the words `true`, `false` and `null`.
    mutating func word(_ word: StaticString) throws(JSONFault) {
        let count = word.utf8CodeUnitCount
        guard position + count <= bytes.count else {
            throw JSONFault(reason: .unexpectedEnd, offset: bytes.count)
        }
        for index in 0..<count where bytes[position + index] != word.utf8Start[index] {
            throw JSONFault(reason: .unexpectedByte, offset: position + index)
        }
        position += count
    }

    /// Takes any value and says nothing about it but where it stands.
    mutating func skipValue() throws(JSONFault) -> Range<Int> {
        let first = try peek()
        let start = position
        try skipValue(first, depth: 0)
        return start..<position
    }

    /// Makes sure that nothing but white space is left.
    mutating func end() throws(JSONFault) {
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else {
                throw JSONFault(reason: .trailingBytes, offset: position)
            }
            position += 1
        }
    }

    private mutating func skipValue(_ first: UInt8, depth: Int) throws(JSONFault) {
        guard depth < Self.depthMax else { throw JSONFault(reason: .tooDeep, offset: position) }
        switch first {
        case 0x22: _ = try text()
        case 0x7B:
            position += 1
            if try take(0x7D) { return }
            repeat {
                _ = try name()
                try skipValue(try peek(), depth: depth + 1)
            } while try takeNext(orEnd: 0x7D)
        case 0x5B:
            position += 1
            if try take(0x5D) { return }
            repeat { try skipValue(try peek(), depth: depth + 1) } while try takeNext(orEnd: 0x5D)
        case 0x74: try word("true")
        case 0x66: try word("false")
        case 0x6E: try word("null")
        default: _ = try number()
        }
    }

    private mutating func escape() throws(JSONFault) {
        guard position + 1 < bytes.count else { throw JSONFault(reason: .unclosedString, offset: position) }
        switch bytes[position + 1] {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: position += 2
        case 0x75:
            let unit = try codeUnit(at: position + 2)
            if unit & 0xFC00 == 0xD800 {
                guard position + 7 < bytes.count, bytes[position + 6] == 0x5C, bytes[position + 7] == 0x75,
                    try codeUnit(at: position + 8) & 0xFC00 == 0xDC00
                else { throw JSONFault(reason: .badSurrogate, offset: position) }
                position += 12
            } else if unit & 0xFC00 == 0xDC00 {
                throw JSONFault(reason: .badSurrogate, offset: position)
            } else {
                position += 6
            }
        default: throw JSONFault(reason: .badEscape, offset: position)
        }
    }

    /// The four hex digits at `start`.
    private func codeUnit(at start: Int) throws(JSONFault) -> UInt32 {
        guard start + 4 <= bytes.count else { throw JSONFault(reason: .unclosedString, offset: bytes.count) }
        var unit: UInt32 = 0
        for index in start..<start + 4 {
            guard let digit = hexDigit(bytes[index]) else { throw JSONFault(reason: .badEscape, offset: index) }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// Takes one character of two to four bytes: no overlong form, no surrogate, nothing above U+10FFFF.
    private mutating func multiByteCharacter() throws(JSONFault) {
        let first = bytes[position]
        let length: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch first {
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: length = 4
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: throw JSONFault(reason: .badUTF8, offset: position)
        }
        guard position + length <= bytes.count, second.contains(bytes[position + 1]) else {
            throw JSONFault(reason: .badUTF8, offset: position)
        }
        for index in position + 2..<position + length where bytes[index] & 0xC0 != 0x80 {
            throw JSONFault(reason: .badUTF8, offset: position)
        }
        position += length
    }
}

/// The value of one hex digit, or nil.
@inline(__always)
func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
}

extension JSONReader {
    /// Whether the value of `text` is `word`.
    @inline(__always)
    func matches(_ text: Text, _ word: StaticString) -> Bool {
        if text.isEscaped { return string(text) == word.description }
        guard text.end - text.start == word.utf8CodeUnitCount else { return false }
        for index in 0..<word.utf8CodeUnitCount where bytes[text.start + index] != word.utf8Start[index] {
            return false
        }
        return true
    }
}
