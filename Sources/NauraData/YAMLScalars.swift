import Foundation

/// The words, numbers, durations and shares of project and contract files.
extension YAMLMapping {
    /// A text; a fault when the value is a list or mapping.
    func text(_ name: String, isRequired: Bool = false, expected: String = "a text") -> String? {
        guard let value = value(name, isRequired: isRequired, expected: expected) else { return nil }
        guard let text = value.scalar else {
            value.fault(expected: expected)
            return nil
        }
        return text
    }

    /// A list of texts; one text alone counts as a list of one.
    func texts(_ name: String, isRequired: Bool = false) -> [String]? {
        guard let value = value(name, isRequired: isRequired, expected: "a list, [a, b]") else { return nil }
        if let text = value.scalar { return [text] }
        return value.list()?.compactMap { element in
            if element.scalar == nil { element.fault(expected: "a text") }
            return element.scalar
        }
    }

    /// One of the given words.
    func word<T>(_ name: String, among words: [String: T], isRequired: Bool = false) -> T? {
        let expected = words.keys.sorted().joined(separator: ", ")
        guard let text = text(name, isRequired: isRequired, expected: "one of \(expected)") else { return nil }
        if let word = words[text] { return word }
        let near = Nearness.suggestion(for: text, among: words.keys).map { "; did you mean '\($0)'?" } ?? ""
        fault(name, found: "'\(text)'\(near)", expected: "one of \(expected)")
        return nil
    }

    /// `true` or `false`.
    func flag(_ name: String) -> Bool? { word(name, among: ["true": true, "false": false]) }

    /// A whole number within `range`.
    func integer(_ name: String, _ range: ClosedRange<Int>) -> Int? {
        let expected = "a whole number\(Self.words(range.lowerBound, range.upperBound))"
        return scalar(name, expected: expected) { Int($0) }.flatMap { within($0, range, name, expected) }
    }

    /// A number within `range`.
    func number(
        _ name: String, _ range: ClosedRange<Double> = -Double.greatestFiniteMagnitude...Double.greatestFiniteMagnitude
    ) -> Double? {
        let isBounded = range.upperBound < .greatestFiniteMagnitude
        let expected = isBounded ? "a number from \(range.lowerBound) to \(range.upperBound)" : "a number"
        return scalar(name, expected: expected) { ScalarText.number($0) }.flatMap { within($0, range, name, expected) }
    }

    /// A share: `20%` or 0.2.
    func share(_ name: String, _ range: ClosedRange<Double> = 0...1) -> Double? {
        let expected =
            "a share from \(YAMLText.percent(range.lowerBound)) to \(YAMLText.percent(range.upperBound)), such as 20%"
        return scalar(name, expected: expected) { ScalarText.share($0) }.flatMap { within($0, range, name, expected) }
    }

    /// A duration: `30s`, `10m`, `1h`, `400d`.
    func seconds(_ name: String) -> Double? {
        scalar(name, expected: ScalarText.durationExpected) { ScalarText.seconds($0) }
    }

    /// Durations, or one alone.
    func secondsList(_ name: String) -> [Double]? {
        texts(name)?.compactMap { text in
            let seconds = ScalarText.seconds(text)
            if seconds == nil { fault(name, found: "'\(text)'", expected: ScalarText.durationExpected) }
            return seconds
        }
    }

    private func scalar<T>(_ name: String, expected: String, _ read: (String) -> T?) -> T? {
        guard let text = text(name, expected: expected) else { return nil }
        let value = read(text)
        if value == nil { fault(name, found: "'\(text)'", expected: expected) }
        return value
    }

    private func within<T: Comparable>(_ value: T, _ range: ClosedRange<T>, _ name: String, _ expected: String) -> T? {
        if range.contains(value) { return value }
        fault(name, found: "\(value)", expected: expected)
        return nil
    }

    private static func words(_ low: Int, _ high: Int) -> String {
        if low == Int.min, high == Int.max { return "" }
        return high == Int.max ? " ≥ \(low)" : " from \(low) to \(high)"
    }
}

/// The grammar of numbers, shares and durations.
enum ScalarText {
    static let durationExpected = "a duration such as 500ms, 30s, 10m, 1h or 400d"
    private static let units: [(suffix: String, seconds: Double)] = [
        ("ms", 0.001), ("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800),
    ]

    /// A finite decimal number.
    static func number(_ text: String) -> Double? {
        let cell = Cell.read(text)
        return cell.isNumber ? cell.value : nil
    }

    static func share(_ text: String) -> Double? {
        if text.hasSuffix("%") { return number(String(text.dropLast())).map { $0 / 100 } }
        return number(text)
    }

    static func seconds(_ text: String) -> Double? {
        for unit in units where text.hasSuffix(unit.suffix) {
            guard let count = number(String(text.dropLast(unit.suffix.count))), count >= 0 else { continue }
            return count * unit.seconds
        }
        return nil
    }
}

/// Words as they stand in a YAML file.
enum YAMLText {
    /// A share as `20%`.
    static func percent(_ share: Double) -> String {
        let percent = (share * 100_000_000).rounded() / 1_000_000
        return percent == percent.rounded() && abs(percent) < 1e15 ? "\(Int(percent))%" : "\(percent)%"
    }

    /// `text` as a key: plain where YAML cannot misread it, otherwise quoted.
    static func key(_ text: String) -> String { isPlain(text) ? text : quoted(text) }

    /// `text` in double quotes.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case let scalar where scalar.value < 0x20 || (scalar.value >= 0x7F && scalar.value < 0xA0):
                result += "\\x" + String(scalar.value + 0x100, radix: 16).dropFirst()
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// `text` in single quotes.
    static func singleQuoted(_ text: String) -> String {
        "'" + text.replacingOccurrences(of: "'", with: "''") + "'"
    }

    static func isPlain(_ text: String) -> Bool {
        let words: Set<String> = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        guard let first = text.utf8.first, !words.contains(text.lowercased()) else { return false }
        let isLetter = (first | 0x20) >= UInt8(ascii: "a") && (first | 0x20) <= UInt8(ascii: "z")
        let isOther = text.utf8.allSatisfy { byte in
            let lower = byte | 0x20
            return (lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z"))
                || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")) || byte == UInt8(ascii: "_")
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        }
        return (isLetter || first == UInt8(ascii: "_")) && isOther
    }
}
