import Yams

/// A mapping of a YAML file. What is asked of it is read, checked and remembered; ``refuseOthers()`` reports the rest.
final class YAMLMapping {
    let key: String
    let line: Int
    let sheet: FaultSheet
    private(set) var names: [String] = []
    private var values: [String: YAMLValue] = [:]
    private var lines: [String: Int] = [:]
    private var asked: [String] = []

    init(_ mapping: Node.Mapping, key: String, line: Int, sheet: FaultSheet) {
        self.key = key
        self.line = line
        self.sheet = sheet
        var repeated: [(name: String, line: Int)] = []
        for (keyNode, node) in mapping {
            let line = keyNode.mark?.line ?? node.mark?.line ?? line
            guard case .scalar(let scalar) = keyNode else {
                sheet.add(line: line, key: key, found: "a key that is no word", expected: "a word")
                continue
            }
            let name = scalar.string
            if name.unicodeScalars.first == YAMLDocument.duplicateMark {
                let plain = name.unicodeScalars.drop { $0 == YAMLDocument.duplicateMark }
                repeated.append((String(String.UnicodeScalarView(plain)), line))
                continue
            }
            names.append(name)
            lines[name] = line
            values[name] = YAMLValue(node: node, key: path(name), line: line, sheet: sheet)
        }
        for (name, first) in repeated {
            sheet.add(
                line: lines[name] ?? first, key: path(name), found: "the key a second time, first on line \(first)",
                expected: "each key once")
        }
    }

    func path(_ name: String) -> String { key.isEmpty ? name : "\(key).\(name)" }

    /// The line of `name`, or of the mapping when it is absent.
    func line(of name: String) -> Int { lines[name] ?? line }

    /// Whether the key stands here with a value.
    func has(_ name: String) -> Bool { values[name].map { !$0.isNull } ?? false }

    /// Reports a fault of the key `name`.
    func fault(_ name: String, found: String, expected: String) {
        sheet.add(line: line(of: name), key: path(name), found: found, expected: expected)
    }

    /// The value of `name`; nil when it is absent or null, which is a fault when it is required.
    func value(_ name: String, isRequired: Bool = false, expected: String = "a value") -> YAMLValue? {
        asked.append(name)
        if let value = values[name], !value.isNull { return value }
        if isRequired { fault(name, found: values[name] == nil ? "no such key" : "nothing", expected: expected) }
        return nil
    }

    /// The entries of the mapping called `name`, in the file's order.
    func entries(_ name: String, isRequired: Bool = false) -> [(name: String, value: YAMLValue)] {
        guard let mapping = value(name, isRequired: isRequired, expected: "keys and values")?.mapping() else {
            return []
        }
        return mapping.names.compactMap { name in mapping.values[name].map { (name, $0) } }
    }

    /// The mapping called `name`; nil when absent.
    func mapping(_ name: String, isRequired: Bool = false) -> YAMLMapping? {
        value(name, isRequired: isRequired, expected: "keys and values")?.mapping()
    }

    /// Reports every key that nothing asked for, with the known key that it resembles.
    func refuseOthers() {
        for name in names where !asked.contains(name) {
            let near = Nearness.suggestion(for: name, among: asked).map { "; did you mean '\($0)'?" } ?? ""
            let known = Set(asked).sorted().joined(separator: ", ")
            sheet.add(
                line: line(of: name), key: path(name), found: "an unknown key\(near)", expected: "one of \(known)")
        }
    }
}
