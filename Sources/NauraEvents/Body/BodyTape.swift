/// A body's JSON as a flat list of values in the order of its text, made in one pass.
///
/// Reads plain JSON alone: to the letter, UTF-8, no backslash in a text, at most 32 levels. That is what Naura's own
/// events look like; anything else is left to Foundation's parser, which also has the words for what is wrong.
final class BodyTape {
    enum Kind: UInt8 { case null, yes, no, number, text, array, object }

    struct Node {
        let kind: Kind
        /// Where the value stands in the body; a text without its quotation marks.
        let start: Int32
        var end: Int32
        /// The place on the tape behind the value and everything in it. An object's members are key, value, key, value.
        var next: Int32
    }

    let bytes: [UInt8]
    let nodes: [Node]

    /// Nil when `bytes` is not plain JSON.
    init?(_ bytes: [UInt8]) {
        let nodes: [Node]? = bytes.withUnsafeBufferPointer { buffer in
            var scanner = BodyScanner(bytes: buffer)
            guard scanner.value(depth: 0) else { return nil }
            scanner.skipBlanks()
            guard scanner.place == buffer.count else { return nil }
            // One look at the whole body, instead of one at each text.
            if scanner.hasHighBytes, String(validating: buffer, as: UTF8.self) == nil { return nil }
            return scanner.nodes
        }
        guard let nodes else { return nil }
        self.bytes = bytes
        self.nodes = nodes
    }

    /// The place of the member `name` of the object at `place`: the first of that name. Nil when there is none.
    func member(_ name: String, of place: Int) -> Int? {
        var name = name
        return name.withUTF8 { wanted in
            let end = Int(nodes[place].next)
            var key = place + 1
            while key < end {
                let node = nodes[key]
                let count = Int(node.end - node.start)
                if count == wanted.count, matches(wanted, at: Int(node.start)) { return key + 1 }
                key = Int(nodes[key + 1].next)
            }
            return nil
        }
    }

    private func matches(_ wanted: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
        for index in 0..<wanted.count where bytes[start + index] != wanted[index] { return false }
        return true
    }

    /// The text at `place`, which is one.
    func text(at place: Int) -> String {
        let node = nodes[place]
        return String(decoding: bytes[Int(node.start)..<Int(node.end)], as: UTF8.self)
    }

    /// The number at `place` when it is spelled as an integer that fits.
    func integer(at place: Int) -> Int64? {
        let node = nodes[place]
        guard node.kind == .number, node.end - node.start <= 19 else { return nil }
        var isNegative = false
        var value: Int64 = 0
        for byte in bytes[Int(node.start)..<Int(node.end)] {
            if byte == UInt8(ascii: "-") {
                isNegative = true
                continue
            }
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let (tens, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, isStillTooLarge) = tens.addingReportingOverflow(Int64(byte - UInt8(ascii: "0")))
            if isTooLarge || isStillTooLarge { return nil }
            value = sum
        }
        return isNegative ? -value : value
    }

    /// The number at `place` as a double; nil when Foundation would refuse it, or might.
    func double(at place: Int) -> Double? {
        // Up to 15 digits are exact.
        if nodes[place].end - nodes[place].start <= 15, let integer = integer(at: place), integer != 0 {
            return Double(integer)
        }
        // Foundation takes 0e9 for a number out of range.
        let text = text(at: place)
        guard let value = Double(text), value.isFinite, value != 0 || !text.utf8.contains(where: { $0 | 0x20 == 0x65 })
        else { return nil }
        return value
    }
}

/// Fills the tape.
private struct BodyScanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var place = 0
    var nodes: [BodyTape.Node] = []
    var hasHighBytes = false

    init(bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
        nodes.reserveCapacity(bytes.count / 12 + 8)
    }

    mutating func skipBlanks() {
        while place < bytes.count,
            bytes[place] == 0x20 || bytes[place] == 0x0A || bytes[place] == 0x0D || bytes[place] == 0x09
        { place += 1 }
    }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard place < bytes.count, bytes[place] == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    mutating func value(depth: Int) -> Bool {
        skipBlanks()
        guard place < bytes.count, depth < 32 else { return false }
        switch bytes[place] {
        case UInt8(ascii: "\""): return text()
        case UInt8(ascii: "{"): return list(.object, depth: depth)
        case UInt8(ascii: "["): return list(.array, depth: depth)
        case UInt8(ascii: "t"): return word("true", .yes)
        case UInt8(ascii: "f"): return word("false", .no)
        case UInt8(ascii: "n"): return word("null", .null)
        default: return number()
        }
    }

    private mutating func append(_ kind: BodyTape.Kind, from start: Int) {
        nodes.append(
            BodyTape.Node(kind: kind, start: Int32(start), end: Int32(place), next: Int32(nodes.count + 1)))
    }

    private mutating func word(_ word: StaticString, _ kind: BodyTape.Kind) -> Bool {
        let start = place
        guard place + word.utf8CodeUnitCount <= bytes.count else { return false }
        for index in 0..<word.utf8CodeUnitCount where bytes[place + index] != word.utf8Start[index] { return false }
        place += word.utf8CodeUnitCount
        append(kind, from: start)
        return true
    }

    private mutating func text() -> Bool {
        place += 1
        let start = place
        while place < bytes.count {
            let byte = bytes[place]
            if byte == UInt8(ascii: "\"") {
                append(.text, from: start)
                place += 1
                return true
            }
            if byte < 0x20 || byte == UInt8(ascii: "\\") { return false }
            if byte >= 0x80 { hasHighBytes = true }
            place += 1
        }
        return false
    }

    private mutating func digits() -> Int {
        let start = place
        while place < bytes.count, bytes[place] >= UInt8(ascii: "0"), bytes[place] <= UInt8(ascii: "9") { place += 1 }
        return place - start
    }

    private mutating func number() -> Bool {
        let start = place
        _ = skip("-")
        let isZero = place < bytes.count && bytes[place] == UInt8(ascii: "0")
        let whole = digits()
        guard whole == 1 || (whole > 1 && !isZero) else { return false }
        if skip("."), digits() == 0 { return false }
        if skip("e") || skip("E") {
            _ = skip("+") || skip("-")
            if digits() == 0 { return false }
        }
        append(.number, from: start)
        return true
    }

    private mutating func list(_ kind: BodyTape.Kind, depth: Int) -> Bool {
        let own = nodes.count
        append(kind, from: place)
        let end: Unicode.Scalar = kind == .object ? "}" : "]"
        place += 1
        skipBlanks()
        if !skip(end) {
            repeat {
                if kind == .object {
                    skipBlanks()
                    guard place < bytes.count, bytes[place] == UInt8(ascii: "\""), text() else { return false }
                    skipBlanks()
                    guard skip(":") else { return false }
                }
                guard value(depth: depth + 1) else { return false }
                skipBlanks()
            } while skip(",")
            guard skip(end) else { return false }
        }
        nodes[own].end = Int32(place)
        nodes[own].next = Int32(nodes.count)
        return true
    }
}
