import Foundation

/// Decodes payloads from a ``BodyTape``, some three times faster than Foundation's decoder, which took a fifth of a
/// worker's time at full speed.
///
/// Whatever goes wrong here is not told: the caller asks Foundation's decoder then, whose answer counts. So this one
/// may be strict, knows no coding paths, and must only never accept what Foundation would refuse or read otherwise.
struct BodyDecoder: Decoder, SingleValueDecodingContainer {
    /// What an answer of this decoder's that is none looks like.
    struct Refusal: Error {}

    let tape: BodyTape
    let place: Int

    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    /// The payload that `body` holds, or nil when it is for Foundation to say.
    static func decode<T: Decodable>(_ type: T.Type, from body: [UInt8]) -> T? {
        guard let tape = BodyTape(body) else { return nil }
        do {
            return try BodyDecoder(tape: tape, place: 0).decode(type)
        } catch {
            return nil
        }
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard tape.nodes[place].kind == .object else { throw mismatch([String: JSONValue].self) }
        return KeyedDecodingContainer(BodyMembers<Key>(tape: tape, place: place))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard tape.nodes[place].kind == .array else { throw mismatch([JSONValue].self) }
        return BodyElements(tape: tape, place: place)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

    // MARK: One value

    /// The error that says that another kind of value stands here; some types try one kind after another.
    func mismatch(_ type: Any.Type) -> DecodingError {
        .typeMismatch(type, DecodingError.Context(codingPath: [], debugDescription: ""))
    }

    func decodeNil() -> Bool { tape.nodes[place].kind == .null }

    func decode(_ type: Bool.Type) throws -> Bool {
        switch tape.nodes[place].kind {
        case .yes: return true
        case .no: return false
        default: throw mismatch(type)
        }
    }

    func decode(_ type: String.Type) throws -> String {
        guard tape.nodes[place].kind == .text else { throw mismatch(type) }
        return tape.text(at: place)
    }

    func decode(_ type: Double.Type) throws -> Double {
        guard tape.nodes[place].kind == .number else { throw mismatch(type) }
        guard let value = tape.double(at: place) else { throw Refusal() }
        return value
    }

    func decode(_ type: Float.Type) throws -> Float { throw Refusal() }
    func decode(_ type: Int.Type) throws -> Int { try integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }

    private func integer<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
        guard tape.nodes[place].kind == .number else { throw mismatch(type) }
        // `1.0` and what does not fit are Foundation's.
        guard let value = tape.integer(at: place), let fitting = T(exactly: value) else { throw Refusal() }
        return fitting
    }

    func decode<T: Decodable>(_ type: T.Type) throws -> T {
        if type == Date.self {
            guard tape.nodes[place].kind == .text else { throw mismatch(type) }
            guard let date = CodableTimes.date(from: tape.text(at: place)) else { throw Refusal() }
            return known(date)
        }
        if type == JSONValue.self { return known(try json()) }
        // Types that Foundation's decoder treats in its own way.
        if type == Data.self || type == URL.self || type == Decimal.self { throw Refusal() }
        return try T(from: self)
    }

    /// `value` as the type that it has been found to be; a cast would ask the runtime, which takes longer than decoding.
    private func known<Value, T>(_ value: Value) -> T {
        precondition(T.self == Value.self)
        return withUnsafePointer(to: value) { UnsafeRawPointer($0).assumingMemoryBound(to: T.self).pointee }
    }

    /// Any value, without the attempts that the type itself would make.
    private func json() throws -> JSONValue {
        switch tape.nodes[place].kind {
        case .null: return .null
        case .yes: return .bool(true)
        case .no: return .bool(false)
        case .text: return .string(tape.text(at: place))
        case .number:
            guard let value = tape.integer(at: place) else { throw Refusal() }
            return .integer(value)
        case .array:
            var elements = BodyElements(tape: tape, place: place)
            var values: [JSONValue] = []
            while !elements.isAtEnd { values.append(try elements.next().json()) }
            return .array(values)
        case .object:
            var members: [String: JSONValue] = [:]
            var key = place + 1
            while key < Int(tape.nodes[place].next) {
                let name = tape.text(at: key)
                if members[name] == nil { members[name] = try BodyDecoder(tape: tape, place: key + 1).json() }
                key = Int(tape.nodes[key + 1].next)
            }
            return .object(members)
        }
    }
}

/// The members of an object.
private struct BodyMembers<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let tape: BodyTape
    let place: Int

    var codingPath: [any CodingKey] { [] }

    var allKeys: [Key] {
        var keys: [Key] = []
        var key = place + 1
        while key < Int(tape.nodes[place].next) {
            if let known = Key(stringValue: tape.text(at: key)) { keys.append(known) }
            key = Int(tape.nodes[key + 1].next)
        }
        return keys
    }

    private func required(_ key: Key) throws -> BodyDecoder {
        guard let member = tape.member(key.stringValue, of: place) else { throw BodyDecoder.Refusal() }
        return BodyDecoder(tape: tape, place: member)
    }

    private func present(_ key: Key) -> BodyDecoder? {
        guard let member = tape.member(key.stringValue, of: place), tape.nodes[member].kind != .null else { return nil }
        return BodyDecoder(tape: tape, place: member)
    }

    func contains(_ key: Key) -> Bool { tape.member(key.stringValue, of: place) != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try required(key).decodeNil() }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try required(key).decode(type) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try required(key).decode(type) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try required(key).decode(type) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try required(key).decode(type) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try required(key).decode(type) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try required(key).decode(type) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try required(key).decode(type) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try required(key).decode(type) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try required(key).decode(type) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try required(key).decode(type) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try required(key).decode(type) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try required(key).decode(type) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try required(key).decode(type) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try required(key).decode(type) }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try required(key).decode(type) }

    // The default forms look a member up three times.
    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? { try present(key)?.decode(type) }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? { try present(key)?.decode(type) }
    func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? { try present(key)?.decode(type) }
    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try present(key)?.decode(type) }
    func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
        try present(key)?.decode(type)
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { try required(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try required(key).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder { throw BodyDecoder.Refusal() }
    func superDecoder(forKey key: Key) throws -> any Decoder { throw BodyDecoder.Refusal() }
}

/// The elements of an array.
private struct BodyElements: UnkeyedDecodingContainer {
    let tape: BodyTape
    private let end: Int
    private var place: Int
    private(set) var currentIndex = 0

    init(tape: BodyTape, place: Int) {
        self.tape = tape
        self.place = place + 1
        end = Int(tape.nodes[place].next)
    }

    var codingPath: [any CodingKey] { [] }
    var count: Int? { nil }
    var isAtEnd: Bool { place >= end }

    mutating func next() throws -> BodyDecoder {
        guard place < end else { throw BodyDecoder.Refusal() }
        defer {
            place = Int(tape.nodes[place].next)
            currentIndex += 1
        }
        return BodyDecoder(tape: tape, place: place)
    }

    mutating func decodeNil() throws -> Bool {
        guard place < end, tape.nodes[place].kind == .null else { return false }
        _ = try next()
        return true
    }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try next().decode(type) }
    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> { try next().container(keyedBy: type) }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
    mutating func superDecoder() throws -> any Decoder { throw BodyDecoder.Refusal() }
}
