import Glibc

/// Reads a JSON text from front to back, skipping what nobody asks for.
///
/// A model file of a thousand trees is several megabytes, nearly all of it numbers: reading it into a general tree of
/// values costs fifty times what the numbers need. Takes the tokens NaN, Infinity and -Infinity, which XGBoost writes.
struct JSONScanner {
    private let bytes: UnsafeBufferPointer<UInt8>
    private let file: String
    private(set) var position = 0
    private var depth = 0

    /// Lends a scanner over `bytes` to `body`. `file` names them in refusals.
    static func scan<R>(
        _ bytes: [UInt8], of file: String, _ body: (inout JSONScanner) throws(ModelFault) -> R
    ) throws(ModelFault) -> R {
        // strtof stops at the first byte that no number can hold; this one stands behind the last.
        let terminated = bytes + [0]
        var outcome: Result<R, ModelFault>?
        terminated.withUnsafeBufferPointer { buffer in
            var scanner = JSONScanner(
                bytes: UnsafeBufferPointer(rebasing: buffer.dropLast()), file: file)
            do throws(ModelFault) {
                outcome = .success(try body(&scanner))
            } catch {
                outcome = .failure(error)
            }
        }
        guard let outcome else { preconditionFailure("the scan had no outcome") }
        return try outcome.get()
    }

    private init(bytes: UnsafeBufferPointer<UInt8>, file: String) {
        self.bytes = bytes
        self.file = file
    }

    func fault(_ message: String) -> ModelFault {
        ModelFault(.malformed, "\(file), byte \(position): \(message)")
    }

    /// The next byte that is no blank; 0 at the end.
    mutating func peek() -> UInt8 {
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte }
            position += 1
        }
        return 0
    }

    /// Checks that only blanks are left.
    mutating func end() throws(ModelFault) {
        guard peek() == 0, position == bytes.count else { throw fault("expected the end of the file") }
    }

    private mutating func expect(_ byte: UInt8) throws(ModelFault) {
        guard peek() == byte else {
            throw fault("expected `\(Character(UnicodeScalar(byte)))`, found \(found())")
        }
        position += 1
    }

    private func found() -> String {
        guard position < bytes.count else { return "the end of the file" }
        let byte = bytes[position]
        return byte >= 0x20 && byte < 0x7F ? "`\(Character(UnicodeScalar(byte)))`" : "byte \(byte)"
    }

    /// Hands each member's name to `member`, which reads or skips the value behind it.
    mutating func object(
        _ member: (inout JSONScanner, String) throws(ModelFault) -> Void
    ) throws(ModelFault) {
        try enter(UInt8(ascii: "{"))
        if peek() != UInt8(ascii: "}") {
            while true {
                let name = try string()
                try expect(UInt8(ascii: ":"))
                try member(&self, name)
                guard peek() == UInt8(ascii: ",") else { break }
                position += 1
            }
        }
        try leave(UInt8(ascii: "}"))
    }

    /// Calls `element` at the start of each element.
    mutating func array(_ element: (inout JSONScanner) throws(ModelFault) -> Void) throws(ModelFault) {
        try enter(UInt8(ascii: "["))
        if peek() != UInt8(ascii: "]") {
            while true {
                try element(&self)
                guard peek() == UInt8(ascii: ",") else { break }
                position += 1
            }
        }
        try leave(UInt8(ascii: "]"))
    }

    private mutating func enter(_ byte: UInt8) throws(ModelFault) {
        try expect(byte)
        depth += 1
        // Deeper nesting than any file of ours is an attack on the stack.
        guard depth <= 64 else { throw fault("nested deeper than 64") }
    }

    private mutating func leave(_ byte: UInt8) throws(ModelFault) {
        try expect(byte)
        depth -= 1
    }

    /// A text, with its escapes resolved.
    mutating func string() throws(ModelFault) -> String {
        try expect(UInt8(ascii: "\""))
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                defer { position += 1 }
                return try text(bytes[start..<position])
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw fault("a control character in a text") }
            position += 1
        }
        throw fault("a text that does not end")
    }

    private func text(_ bytes: some Collection<UInt8>) throws(ModelFault) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw fault("a text that is not UTF-8") }
        return text
    }

    private mutating func escapedString(from start: Int) throws(ModelFault) -> String {
        var plain = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(plain)
            case UInt8(ascii: "\\"): try appendEscape(to: &plain)
            case 0..<0x20: throw fault("a control character in a text")
            default: plain.append(byte)
            }
        }
        throw fault("a text that does not end")
    }

    private mutating func appendEscape(to plain: inout [UInt8]) throws(ModelFault) {
        guard position < bytes.count else { throw fault("a text that does not end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "n"): plain.append(0x0A)
        case UInt8(ascii: "r"): plain.append(0x0D)
        case UInt8(ascii: "t"): plain.append(0x09)
        case UInt8(ascii: "b"): plain.append(0x08)
        case UInt8(ascii: "f"): plain.append(0x0C)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): plain.append(byte)
        case UInt8(ascii: "u"):
            var unit = try hexUnit()
            if unit & 0xFC00 == 0xD800, position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            {
                position += 2
                let low = try hexUnit()
                guard low & 0xFC00 == 0xDC00 else { throw fault("half a surrogate pair") }
                unit = 0x10000 + (unit & 0x3FF) << 10 + (low & 0x3FF)
            }
            guard let scalar = UnicodeScalar(unit) else { throw fault("half a surrogate pair") }
            plain += String(Character(scalar)).utf8
        default: throw fault("an unknown escape")
        }
    }

    private mutating func hexUnit() throws(ModelFault) -> UInt32 {
        guard position + 4 <= bytes.count,
            let digits = String(validating: bytes[position..<(position + 4)], as: UTF8.self),
            digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let unit = UInt32(digits, radix: 16)
        else { throw fault("four hexadecimal digits expected") }
        position += 4
        return unit
    }

    /// A number, rounded once to the nearest double.
    mutating func double() throws(ModelFault) -> Double {
        let (value, exact, start) = try decimal()
        guard !exact, let base = bytes.baseAddress else { return value }
        return UnsafeRawPointer(base + start).withMemoryRebound(to: CChar.self, capacity: 1) { strtod($0, nil) }
    }

    /// A number, rounded once to the nearest float32, as the library reads it.
    mutating func float() throws(ModelFault) -> Float {
        let (value, exact, start) = try decimal()
        // Rounding to double and then to float differs from rounding once only where the double lies exactly between
        // two floats, or where the float is subnormal.
        let isBetween = value.bitPattern & 0x1FFF_FFFF == 0x1000_0000
        if exact, !isBetween, value == 0 || value.magnitude > 1e-37 || !value.isFinite { return Float(value) }
        guard let base = bytes.baseAddress else { return Float(value) }
        return UnsafeRawPointer(base + start).withMemoryRebound(to: CChar.self, capacity: 1) { strtof($0, nil) }
    }

    /// A whole number.
    mutating func integer() throws(ModelFault) -> Int {
        let value = try double()
        guard let integer = Int(exactly: value) else { throw fault("expected a whole number") }
        return integer
    }

    /// Reads one number token. `exact` says that `value` is the nearest double: the digits fit into 53 bits and the
    /// power of ten is one that a double holds, so one division or multiplication rounds once.
    private mutating func decimal() throws(ModelFault) -> (value: Double, exact: Bool, start: Int) {
        let first = peek()
        let start = position
        let isNegative = first == UInt8(ascii: "-")
        if isNegative { position += 1 }
        if let word = notFinite() { return (isNegative ? -word : word, true, start) }
        var digits: UInt64 = 0
        var digitCount = 0
        var scale = 0
        var hasPoint = false
        let digitsStart = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
                if digits != 0 || byte != UInt8(ascii: "0") { digitCount += 1 }
                if digitCount <= 18 { digits = digits * 10 + UInt64(byte - UInt8(ascii: "0")) }
                if hasPoint { scale -= 1 }
            } else if byte == UInt8(ascii: "."), !hasPoint {
                hasPoint = true
            } else {
                break
            }
            position += 1
        }
        guard position > digitsStart + (hasPoint ? 1 : 0) else { throw fault("expected a number, found \(found())") }
        scale += try exponent()
        let isExact = digitCount <= 18 && digits < 1 << 53 && scale >= -22 && scale <= 22
        var value = Double(digits)
        if isExact { value = scale < 0 ? value / Self.powers[-scale] : value * Self.powers[scale] }
        return (isNegative ? -value : value, isExact, start)
    }

    private mutating func exponent() throws(ModelFault) -> Int {
        guard position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") else { return 0 }
        position += 1
        var isNegative = false
        if position < bytes.count, bytes[position] == UInt8(ascii: "-") || bytes[position] == UInt8(ascii: "+") {
            isNegative = bytes[position] == UInt8(ascii: "-")
            position += 1
        }
        let start = position
        var value = 0
        while position < bytes.count, bytes[position] >= UInt8(ascii: "0"), bytes[position] <= UInt8(ascii: "9") {
            value = min(value * 10 + Int(bytes[position] - UInt8(ascii: "0")), 100_000)
            position += 1
        }
        guard position > start else { throw fault("expected an exponent, found \(found())") }
        return isNegative ? -value : value
    }

    private mutating func notFinite() -> Double? {
        if accept("NaN") { return .nan }
        return accept("Infinity") || accept("inf") ? .infinity : nil
    }

    private mutating func accept(_ word: StaticString) -> Bool {
        guard position + word.utf8CodeUnitCount <= bytes.count, let base = bytes.baseAddress,
            memcmp(base + position, word.utf8Start, word.utf8CodeUnitCount) == 0
        else { return false }
        position += word.utf8CodeUnitCount
        return true
    }

    private static let powers: [Double] = [
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ]

    /// A truth value; XGBoost writes it as `true` or as 1.
    mutating func bool() throws(ModelFault) -> Bool {
        let first = peek()
        if first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9") { return try integer() != 0 }
        if accept("true") { return true }
        if accept("false") { return false }
        throw fault("expected true or false, found \(found())")
    }

    /// Any value.
    mutating func value() throws(ModelFault) -> JSONValue {
        switch peek() {
        case UInt8(ascii: "{"):
            var members: [String: JSONValue] = [:]
            try object { scanner, name throws(ModelFault) in
                guard members.updateValue(try scanner.value(), forKey: name) == nil else {
                    throw scanner.fault("the member `\(name)` stands twice")
                }
            }
            return .object(members)
        case UInt8(ascii: "["):
            var values: [JSONValue] = []
            try array { scanner throws(ModelFault) in values.append(try scanner.value()) }
            return .array(values)
        case UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool(try bool())
        case UInt8(ascii: "n"):
            guard accept("null") else { throw fault("expected a value, found \(found())") }
            return .null
        default: return .number(try double())
        }
    }

    /// Passes over any value.
    mutating func skip() throws(ModelFault) {
        switch peek() {
        case UInt8(ascii: "{"):
            try object { scanner, _ throws(ModelFault) in try scanner.skip() }
        case UInt8(ascii: "["):
            try array { scanner throws(ModelFault) in try scanner.skip() }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "n"):
            guard accept("null") else { throw fault("expected a value, found \(found())") }
        case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try bool()
        default: _ = try decimal()
        }
    }
}
