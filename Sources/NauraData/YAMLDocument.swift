import Yams

/// Reads YAML text into nodes that know their lines.
enum YAMLDocument {
    /// Marks a key that stands again further down in the same mapping; no key that a person writes begins with it.
    static let duplicateMark: Unicode.Scalar = "\u{E000}"
    /// Repeated keys that are reported singly; a file with more is reported as it is.
    private static let duplicatesMax = 200

    /// The mapping that `yaml` is, or nil when its faults leave nothing to read.
    static func read(_ yaml: String, _ sheet: FaultSheet) -> YAMLMapping? {
        var text = yaml
        for _ in 0..<duplicatesMax {
            do {
                guard let node = try Yams.compose(yaml: text) else {
                    sheet.add(line: 1, key: "", found: "an empty file", expected: "keys and values")
                    return nil
                }
                return YAMLValue(node: node, key: "", line: 1, sheet: sheet).mapping()
            } catch YamlError.duplicatedKeysInMapping(_, let context) {
                // The parser stops at the first repeated key. Marking it lets the reading go on to all other faults; the
                // mapping reports it. No line moves by the mark.
                guard let marked = mark(context.mark, in: text) else {
                    return syntaxFault(context.mark, "a repeated key", sheet)
                }
                text = marked
            } catch let error as YamlError {
                return syntaxFault(error, sheet)
            } catch {
                return syntaxFault(nil, "\(error)", sheet)
            }
        }
        return syntaxFault(nil, "more than \(duplicatesMax) repeated keys", sheet)
    }

    /// `text` with the key at `place` marked as repeated.
    private static func mark(_ place: Mark, in text: String) -> String? {
        var scalars = Array(text.unicodeScalars)
        var line = 1
        var index = 0
        while index < scalars.count, line < place.line {
            if scalars[index] == "\n" { line += 1 }
            index += 1
        }
        index += place.column - 1
        if index < scalars.count, scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.count else { return nil }
        scalars.insert(duplicateMark, at: index)
        var marked = String.UnicodeScalarView()
        marked.append(contentsOf: scalars)
        return String(marked)
    }

    private static func syntaxFault(_ error: YamlError, _ sheet: FaultSheet) -> YAMLMapping? {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let begun = context.map { ", \($0.text) begun on line \($0.mark.line)" } ?? ""
            return syntaxFault(mark, problem + begun, sheet)
        case .reader(let problem, _, _, _): return syntaxFault(nil, problem, sheet)
        default: return syntaxFault(nil, "\(error)", sheet)
        }
    }

    private static func syntaxFault(_ mark: Mark?, _ found: String, _ sheet: FaultSheet) -> YAMLMapping? {
        sheet.add(line: mark?.line ?? 1, key: "", found: found, expected: "YAML")
        return nil
    }
}

/// One value of a YAML file, with the path of its key and its line.
struct YAMLValue {
    let node: Node
    let key: String
    let line: Int
    let sheet: FaultSheet

    /// Reports that something else was expected here.
    func fault(found: String? = nil, expected: String) {
        sheet.add(line: line, key: key, found: found ?? described, expected: expected)
    }

    /// The value as a mapping; a fault when it is none.
    func mapping() -> YAMLMapping? {
        guard case .mapping(let mapping) = node else {
            fault(expected: "keys and values")
            return nil
        }
        return YAMLMapping(mapping, key: key, line: line, sheet: sheet)
    }

    /// The elements of a list; a fault when it is none.
    func list() -> [YAMLValue]? {
        guard case .sequence(let sequence) = node else {
            fault(expected: "a list, [a, b]")
            return nil
        }
        return sequence.enumerated().map { index, node in
            YAMLValue(node: node, key: "\(key)[\(index)]", line: node.mark?.line ?? line, sheet: sheet)
        }
    }

    var isMapping: Bool { if case .mapping = node { true } else { false } }
    var isList: Bool { if case .sequence = node { true } else { false } }

    /// The characters of a scalar; nil for lists, mappings and nothing.
    var scalar: String? {
        guard case .scalar(let scalar) = node, !isNull else { return nil }
        return scalar.string
    }

    /// Whether the value is absent or `null`; quoted text never is.
    var isNull: Bool {
        guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    /// The value for a message.
    var described: String {
        switch node {
        case .scalar(let scalar): isNull ? "nothing" : "'\(scalar.string)'"
        case .mapping: "keys and values"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }
}
