/// The members of one JSON object, found without building a tree.
///
/// Keys and text values are unescaped; numbers, `true`, `false`, and nested values keep their characters; `null` is
/// empty.
struct JSONMembers {
    private(set) var keys: [Range<Int>] = []
    private(set) var values: [Range<Int>] = []
    /// Unescaped characters; the ranges point into it.
    private(set) var text: [UInt8] = []

    /// What is wrong with a line, and at which of its bytes, from 1.
    struct Fault: Error {
        let message: String
        let position: Int
    }

    private var cursor = 0

    var count: Int { keys.count }

    /// Takes apart `line`, which must be one JSON object.
    mutating func read(_ line: UnsafeBufferPointer<UInt8>) throws(Fault) {
        keys.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
        text.removeAll(keepingCapacity: true)
        cursor = 0
        skipBlanks(line)
        try take("{", line)
        skipBlanks(line)
        if cursor < line.count, line[cursor] == UInt8(ascii: "}") {
            cursor += 1
        } else {
            try readMembers(line)
        }
        skipBlanks(line)
        if cursor < line.count { throw fault("text after the object") }
    }

    private mutating func readMembers(_ line: UnsafeBufferPointer<UInt8>) throws(Fault) {
        while true {
            skipBlanks(line)
            keys.append(try readText(line))
            skipBlanks(line)
            try take(":", line)
            skipBlanks(line)
            values.append(try readValue(line))
            skipBlanks(line)
            guard cursor < line.count else { throw fault("the object does not end") }
            if line[cursor] == UInt8(ascii: ",") {
                cursor += 1
            } else {
                return try take("}", line)
            }
        }
    }

    private mutating func readValue(_ line: UnsafeBufferPointer<UInt8>) throws(Fault) -> Range<Int> {
        guard cursor < line.count else { throw fault("a value is missing") }
        switch line[cursor] {
        case UInt8(ascii: "\""): return try readText(line)
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let start = cursor
            try skipNested(line)
            return append(line, start..<cursor)
        default:
            let start = cursor
            while cursor < line.count, !Self.endsLiteral(line[cursor]) { cursor += 1 }
            let literal = UnsafeBufferPointer(rebasing: line[start..<cursor])
            if literal.elementsEqual("null".utf8) { return text.count..<text.count }
            let isKnown =
                literal.elementsEqual("true".utf8) || literal.elementsEqual("false".utf8) || Cell.isNumber(literal)
            if !isKnown { throw Fault(message: "neither text, number, true, false nor null", position: start + 1) }
            return append(line, start..<cursor)
        }
    }

    private mutating func append(_ line: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Range<Int> {
        let start = text.count
        text.append(contentsOf: UnsafeBufferPointer(rebasing: line[range]))
        return start..<text.count
    }

    private static func endsLiteral(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x09, 0x0D, 0x0A: true
        default: false
        }
    }

    /// Steps over an object or array, watching only brackets and texts.
    private mutating func skipNested(_ line: UnsafeBufferPointer<UInt8>) throws(Fault) {
        var depth = 0
        repeat {
            guard cursor < line.count else { throw fault("a nested value does not end") }
            switch line[cursor] {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: "\""):
                let end = text.count
                _ = try readText(line)
                text.removeSubrange(end...)
                continue
            default: break
            }
            cursor += 1
        } while depth > 0
    }

    private mutating func readText(_ line: UnsafeBufferPointer<UInt8>) throws(Fault) -> Range<Int> {
        try take("\"", line)
        let start = text.count
        while cursor < line.count {
            let byte = line[cursor]
            switch byte {
            case UInt8(ascii: "\""):
                cursor += 1
                return start..<text.count
            case UInt8(ascii: "\\"): try readEscape(line)
            case 0..<0x20: throw fault("a control character inside text")
            default:
                text.append(byte)
                cursor += 1
            }
        }
        throw fault("text does not end")
    }

    private mutating func readEscape(_ line: UnsafeBufferPointer<UInt8>) throws(Fault) {
        guard cursor + 1 < line.count else { throw fault("text does not end") }
        let letter = line[cursor + 1]
        cursor += 2
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "u"):
            var code = try readHex(line)
            if code & 0xFC00 == 0xD800, cursor + 1 < line.count, line[cursor] == UInt8(ascii: "\\"),
                line[cursor + 1] == UInt8(ascii: "u")
            {
                cursor += 2
                let low = try readHex(line)
                guard low & 0xFC00 == 0xDC00 else { throw fault("half of a surrogate pair") }
                code = 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF
            }
            guard let scalar = Unicode.Scalar(code) else { throw fault("half of a surrogate pair") }
            text.append(contentsOf: Character(scalar).utf8)
        default: throw fault("an unknown escape")
        }
    }

    private mutating func readHex(_ line: UnsafeBufferPointer<UInt8>) throws(Fault) -> UInt32 {
        guard cursor + 4 <= line.count else { throw fault("text does not end") }
        var code: UInt32 = 0
        for byte in line[cursor..<cursor + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw fault("four hex digits") }
            code = code << 4 | UInt32(digit)
        }
        cursor += 4
        return code
    }

    private mutating func take(_ character: Unicode.Scalar, _ line: UnsafeBufferPointer<UInt8>) throws(Fault) {
        guard cursor < line.count, line[cursor] == UInt8(ascii: character) else {
            throw fault("expected '\(character)'")
        }
        cursor += 1
    }

    private mutating func skipBlanks(_ line: UnsafeBufferPointer<UInt8>) {
        while cursor < line.count, line[cursor] == 0x20 || line[cursor] == 0x09 || line[cursor] == 0x0D { cursor += 1 }
    }

    private func fault(_ message: String) -> Fault { Fault(message: message, position: cursor + 1) }
}
