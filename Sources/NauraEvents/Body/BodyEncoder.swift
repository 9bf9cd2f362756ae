import Foundation

/// Encodes payloads to the bytes that ``CodableTimes/encoder`` gives, in a third of its time.
///
/// What it cannot write just so, it refuses, and Foundation's encoder writes it. A test holds the two against each other.
enum BodyEncoder {
    /// The bytes of `value`, or nil when they are for Foundation to write.
    static func encode(_ value: some Encodable) -> [UInt8]? {
        let text = BodyText()
        do {
            try text.append(value)
            return text.bytes
        } catch {
            return nil
        }
    }

    struct Refusal: Error {}
}

/// The text so far, and the objects and arrays that are open in it.
private final class BodyText {
    /// `"key":value,` of an object.
    private struct Member {
        let key: String
        let place: Range<Int>
    }
    private enum Frame {
        case value
        case object([Member])
        case array
    }

    private(set) var bytes: [UInt8] = []
    /// One for each value that is being written, the outermost first.
    private var frames: [Frame] = []

    init() { bytes.reserveCapacity(256) }

    // MARK: Values

    func append<T: Encodable>(_ value: T) throws {
        if T.self == String.self, let text = value as? String { return try append(text: text) }
        if T.self == Date.self, let date = value as? Date { return try append(text: CodableTimes.string(from: date)) }
        // Types that Foundation's encoder treats in its own way.
        if T.self == Data.self || T.self == URL.self || T.self == Decimal.self { throw BodyEncoder.Refusal() }
        let start = bytes.count
        frames.append(.value)
        try value.encode(to: BodyValueEncoder(text: self, frame: frames.count - 1))
        switch frames.removeLast() {
        case .value: guard bytes.count > start else { throw BodyEncoder.Refusal() }
        case .array: end(with: "]")
        case .object(let members):
            try sort(members)
            end(with: "}")
        }
    }

    func append(integer: some BinaryInteger) { bytes.append(contentsOf: String(integer).utf8) }

    func append(number: Double) throws {
        guard number.isFinite else { throw BodyEncoder.Refusal() }
        let text = number.description
        bytes.append(contentsOf: text.hasSuffix(".0") ? text.utf8.dropLast(2) : text.utf8[...])
    }

    func append(word: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
    }

    func append(text: String) throws {
        bytes.append(UInt8(ascii: "\""))
        var text = text
        let isPlain = text.withUTF8 { characters in
            for byte in characters where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                return false
            }
            bytes.append(contentsOf: characters)
            return true
        }
        guard isPlain else { throw BodyEncoder.Refusal() }
        bytes.append(UInt8(ascii: "\""))
    }

    // MARK: Objects and arrays

    /// Makes the value of `frame` an object or an array; false when it is something else already, or not the innermost.
    func open(_ frame: Int, asObject isObject: Bool) -> Bool {
        guard frame == frames.count - 1, frame >= 0 else { return false }
        switch (frames[frame], isObject) {
        case (.value, true):
            frames[frame] = .object([])
            bytes.append(UInt8(ascii: "{"))
        case (.value, false):
            frames[frame] = .array
            bytes.append(UInt8(ascii: "["))
        case (.object, true), (.array, false): break
        default: return false
        }
        return true
    }

    /// Writes a member behind the others; they are put in order when the object ends.
    func member(_ key: String, of frame: Int, _ write: () throws -> Void) throws {
        guard frame == frames.count - 1 else { throw BodyEncoder.Refusal() }
        let start = bytes.count
        try append(text: key)
        bytes.append(UInt8(ascii: ":"))
        try write()
        bytes.append(UInt8(ascii: ","))
        guard case .object(var members) = frames[frame] else { throw BodyEncoder.Refusal() }
        frames[frame] = .value
        members.append(Member(key: key, place: start..<bytes.count))
        frames[frame] = .object(members)
    }

    func element(of frame: Int, _ write: () throws -> Void) throws {
        guard frame == frames.count - 1, case .array = frames[frame] else { throw BodyEncoder.Refusal() }
        try write()
        bytes.append(UInt8(ascii: ","))
    }

    /// Puts the closing bracket, in the place of the comma behind the last part.
    private func end(with bracket: Unicode.Scalar) {
        if bytes.last == UInt8(ascii: ",") { bytes.removeLast() }
        bytes.append(UInt8(ascii: bracket))
    }

    private func sort(_ members: [Member]) throws {
        let sorted = members.sorted { $0.key < $1.key }
        guard zip(sorted, sorted.dropFirst()).allSatisfy({ $0.key != $1.key }) else { throw BodyEncoder.Refusal() }
        guard let start = members.first?.place.lowerBound, zip(sorted, members).contains(where: { $0.key != $1.key })
        else { return }
        let unsorted = Array(bytes[start...])
        bytes.removeSubrange(start...)
        for member in sorted {
            bytes.append(contentsOf: unsorted[(member.place.lowerBound - start)..<(member.place.upperBound - start)])
        }
    }
}

private struct BodyValueEncoder: Encoder {
    let text: BodyText
    let frame: Int

    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        KeyedEncodingContainer(BodyMembersOut<Key>(text: text, frame: text.open(frame, asObject: true) ? frame : -1))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        BodyElementsOut(text: text, frame: text.open(frame, asObject: false) ? frame : -1)
    }
    func singleValueContainer() -> any SingleValueEncodingContainer { BodyValueOut(text: text) }
}

private struct BodyValueOut: SingleValueEncodingContainer {
    let text: BodyText
    var codingPath: [any CodingKey] { [] }

    func encodeNil() throws { text.append(word: "null") }
    func encode(_ value: Bool) throws { text.append(word: value ? "true" : "false") }
    func encode(_ value: String) throws { try text.append(text: value) }
    func encode(_ value: Double) throws { try text.append(number: value) }
    func encode(_ value: Float) throws { throw BodyEncoder.Refusal() }
    func encode(_ value: Int) throws { text.append(integer: value) }
    func encode(_ value: Int8) throws { text.append(integer: value) }
    func encode(_ value: Int16) throws { text.append(integer: value) }
    func encode(_ value: Int32) throws { text.append(integer: value) }
    func encode(_ value: Int64) throws { text.append(integer: value) }
    func encode(_ value: UInt) throws { text.append(integer: value) }
    func encode(_ value: UInt8) throws { text.append(integer: value) }
    func encode(_ value: UInt16) throws { text.append(integer: value) }
    func encode(_ value: UInt32) throws { text.append(integer: value) }
    func encode(_ value: UInt64) throws { text.append(integer: value) }
    func encode(_ value: some Encodable) throws { try text.append(value) }
}

private struct BodyMembersOut<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let text: BodyText
    let frame: Int
    var codingPath: [any CodingKey] { [] }

    private func write(_ key: Key, _ body: (BodyValueOut) throws -> Void) throws {
        try text.member(key.stringValue, of: frame) { try body(BodyValueOut(text: text)) }
    }

    func encodeNil(forKey key: Key) throws { try write(key) { try $0.encodeNil() } }
    func encode(_ value: Bool, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: String, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: Double, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: Float, forKey key: Key) throws { throw BodyEncoder.Refusal() }
    func encode(_ value: Int, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: Int8, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: Int16, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: Int32, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: Int64, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: UInt, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: UInt8, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: UInt16, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: UInt32, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: UInt64, forKey key: Key) throws { try write(key) { try $0.encode(value) } }
    func encode(_ value: some Encodable, forKey key: Key) throws { try write(key) { try $0.encode(value) } }

    // Containers whose end nobody tells; no payload asks for one.
    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> { KeyedEncodingContainer(BodyMembersOut<Nested>(text: text, frame: -1)) }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        BodyElementsOut(text: text, frame: -1)
    }
    func superEncoder() -> any Encoder { BodyValueEncoder(text: text, frame: -1) }
    func superEncoder(forKey key: Key) -> any Encoder { BodyValueEncoder(text: text, frame: -1) }
}

private struct BodyElementsOut: UnkeyedEncodingContainer {
    let text: BodyText
    let frame: Int
    private(set) var count = 0
    var codingPath: [any CodingKey] { [] }

    init(text: BodyText, frame: Int) {
        self.text = text
        self.frame = frame
    }

    mutating func encodeNil() throws {
        try text.element(of: frame) { text.append(word: "null") }
        count += 1
    }
    mutating func encode(_ value: some Encodable) throws {
        try text.element(of: frame) { try text.append(value) }
        count += 1
    }
    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        KeyedEncodingContainer(BodyMembersOut<Nested>(text: text, frame: -1))
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { BodyElementsOut(text: text, frame: -1) }
    func superEncoder() -> any Encoder { BodyValueEncoder(text: text, frame: -1) }
}
