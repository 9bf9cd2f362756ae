/// A JSON value as our own files hold it, written the same way every time: keys in byte order, no blanks, numbers as
/// the shortest decimal that reads back as the same double.
///
/// Foundation's encoder is not used, since a digest must not depend on how a release of it writes a number.
enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The one way to write this value, as UTF-8 with a line feed at the end.
    func canonicalBytes() -> [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    private func write(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes += "null".utf8
        case .bool(let value): bytes += (value ? "true" : "false").utf8
        case .number(let value): bytes += Self.decimal(value).utf8
        case .text(let value): Self.write(value, to: &bytes)
        case .array(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                value.write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let members):
            bytes.append(UInt8(ascii: "{"))
            for (index, key) in members.keys.sorted(by: bytesPrecede).enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                Self.write(key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                members[key]?.write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    static func decimal(_ value: Double) -> String {
        precondition(value.isFinite, "JSON has no word for a number that is not finite")
        if value.magnitude < 1e15, value.rounded(.towardZero) == value { return String(Int64(value)) }
        return value.description
    }

    static func write(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                bytes += "\\u00".utf8
                bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

// Reading a member by name and type, with the name in the refusal.
extension JSONValue {
    init(parsing bytes: [UInt8], of file: String) throws(ModelFault) {
        self = try JSONScanner.scan(bytes, of: file) { scanner throws(ModelFault) in
            let value = try scanner.value()
            try scanner.end()
            return value
        }
    }

    func member(_ name: String) throws(ModelFault) -> JSONValue {
        guard case .object(let members) = self, let value = members[name] else {
            throw ModelFault(.malformed, "the member `\(name)` is missing")
        }
        return value
    }

    func text(_ name: String) throws(ModelFault) -> String {
        guard case .text(let text) = try member(name) else {
            throw ModelFault(.malformed, "the member `\(name)` is no text")
        }
        return text
    }

    func integer(_ name: String) throws(ModelFault) -> Int {
        guard case .number(let number) = try member(name), let integer = Int(exactly: number) else {
            throw ModelFault(.malformed, "the member `\(name)` is no whole number")
        }
        return integer
    }

    func array(_ name: String) throws(ModelFault) -> [JSONValue] {
        guard case .array(let values) = try member(name) else {
            throw ModelFault(.malformed, "the member `\(name)` is no list")
        }
        return values
    }

    func numbers(_ name: String) throws(ModelFault) -> [Double] {
        var numbers: [Double] = []
        for value in try array(name) {
            guard case .number(let number) = value else {
                throw ModelFault(.malformed, "the member `\(name)` holds what is no number")
            }
            numbers.append(number)
        }
        return numbers
    }

    func texts(_ name: String) throws(ModelFault) -> [String] {
        var texts: [String] = []
        for value in try array(name) {
            guard case .text(let text) = value else {
                throw ModelFault(.malformed, "the member `\(name)` holds what is no text")
            }
            texts.append(text)
        }
        return texts
    }
}
