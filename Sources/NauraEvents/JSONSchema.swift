import Foundation

/// The part of JSON Schema 2020-12 that Naura's own schemas use: `type`, `enum`, `const`, `properties`, `required`,
/// `additionalProperties`, `items`, `minItems`, `minimum`, `maximum`, `minLength`, `maxLength`, `pattern`, `anyOf`,
/// `$ref` into `$defs`, and the formats `date-time` and `uri`, which it asserts.
///
/// A schema with another keyword is refused when it is read, so that no rule is silently without effect.
struct JSONSchema: Sendable {
    private let root: JSONValue

    init(json: [UInt8]) throws {
        root = try JSONValue(json: json)
        try Self.check(root, at: "#")
    }

    /// A sentence naming the first field at fault, in the schema's order of keywords and the fields' alphabetical
    /// order; nil when `value` is valid.
    func firstViolation(of value: JSONValue) -> String? { violation(of: value, by: root, at: "") }

    private static let annotations: Set<String> = [
        "$schema", "$id", "$defs", "title", "description", "examples", "default",
    ]
    private static let keywords: Set<String> = [
        "$ref", "type", "enum", "const", "properties", "required", "additionalProperties", "items", "minItems",
        "minimum", "maximum", "minLength", "maxLength", "pattern", "anyOf", "format",
    ]

    private static func check(_ schema: JSONValue, at place: String) throws {
        if case .bool = schema { return }
        guard case .object(let members) = schema else {
            throw EventFault(.notJSON, "\(place): a schema must be an object or a boolean")
        }
        for (keyword, value) in members {
            guard annotations.contains(keyword) || keywords.contains(keyword) else {
                throw EventFault(.notJSON, "\(place): the keyword `\(keyword)` is not among those that are checked")
            }
            switch (keyword, value) {
            case ("properties", .object(let named)), ("$defs", .object(let named)):
                for (name, inner) in named { try check(inner, at: "\(place)/\(keyword)/\(name)") }
            case ("items", _), ("additionalProperties", _): try check(value, at: "\(place)/\(keyword)")
            case ("anyOf", .array(let choices)): for choice in choices { try check(choice, at: "\(place)/anyOf") }
            case ("pattern", .string(let pattern)): _ = try NSRegularExpression(pattern: expression(pattern))
            default: break
            }
        }
    }

    private func violation(of value: JSONValue, by schema: JSONValue, at path: String) -> String? {
        guard case .object(let rules) = schema else {
            return schema == .bool(false) ? "\(Self.field(path)) is not allowed" : nil
        }
        if let reference = rules["$ref"]?.string, let target = resolve(reference) {
            if let found = violation(of: value, by: target, at: path) { return found }
        }
        return typeViolation(of: value, rules, path) ?? choiceViolation(of: value, rules, path)
            ?? scalarViolation(of: value, rules, path) ?? memberViolation(of: value, rules, path)
            ?? elementViolation(of: value, rules, path) ?? alternativeViolation(of: value, rules, path)
    }

    private func resolve(_ reference: String) -> JSONValue? {
        reference.split(separator: "/").dropFirst().reduce(root as JSONValue?) { $0?[String($1)] }
    }

    private static func field(_ path: String) -> String { path.isEmpty ? "the body" : "field `\(path)`" }

    private func typeViolation(of value: JSONValue, _ rules: [String: JSONValue], _ path: String) -> String? {
        guard let rule = rules["type"] else { return nil }
        let accepted = rule.string.map { [$0] } ?? (rule.array ?? []).compactMap(\.string)
        let matches = accepted.contains { name in
            switch (name, value) {
            case ("null", .null), ("boolean", .bool), ("integer", .integer), ("number", .integer), ("number", .number),
                ("string", .string), ("array", .array), ("object", .object):
                true
            default: false
            }
        }
        if matches { return nil }
        let words = ["string": "text", "array": "list"]
        let expected = accepted.map { words[$0] ?? $0 }.joined(separator: " or ")
        return "\(Self.field(path)): expected \(expected), found \(value.kind)\(Self.quoted(value))"
    }

    private func choiceViolation(of value: JSONValue, _ rules: [String: JSONValue], _ path: String) -> String? {
        let choices = rules["enum"]?.array ?? rules["const"].map { [$0] } ?? []
        guard !choices.isEmpty, !choices.contains(value) else { return nil }
        let names = choices.map { $0.string ?? "\($0)" }.joined(separator: ", ")
        return "\(Self.field(path)): expected one of \(names), found\(Self.quoted(value))"
    }

    private func scalarViolation(of value: JSONValue, _ rules: [String: JSONValue], _ path: String) -> String? {
        let field = Self.field(path)
        if let number = value.double {
            if let minimum = rules["minimum"]?.double, number < minimum {
                return "\(field): \(Self.plain(number)) is below the minimum \(Self.plain(minimum))"
            }
            if let maximum = rules["maximum"]?.double, number > maximum {
                return "\(field): \(Self.plain(number)) is above the maximum \(Self.plain(maximum))"
            }
        }
        guard case .string(let text) = value else { return nil }
        let length = Double(text.unicodeScalars.count)
        if let least = rules["minLength"]?.double, length < least {
            return length == 0 ? "\(field) is empty" : "\(field) is shorter than \(Self.plain(least)) characters"
        }
        if let most = rules["maxLength"]?.double, length > most {
            return "\(field) is longer than \(Self.plain(most)) characters"
        }
        if let format = rules["format"]?.string, let expected = Self.formatViolation(of: text, format) {
            return "\(field): expected \(expected), found\(Self.quoted(value))"
        }
        if let pattern = rules["pattern"]?.string,
            text.range(of: Self.expression(pattern), options: .regularExpression) == nil
        {
            return "\(field): expected the pattern \(pattern), found\(Self.quoted(value))"
        }
        return nil
    }

    /// ECMA's `$` is the text's end; ICU's also stands before a last line break.
    private static func expression(_ pattern: String) -> String {
        pattern.hasSuffix("$") ? pattern.dropLast() + #"\z"# : pattern
    }

    private static func formatViolation(of text: String, _ format: String) -> String? {
        switch format {
        case "date-time": CodableTimes.date(from: text) == nil ? "an RFC 3339 time" : nil
        case "uri": Check.uri(text) ? nil : "a URI"
        default: nil
        }
    }

    private func memberViolation(of value: JSONValue, _ rules: [String: JSONValue], _ path: String) -> String? {
        guard case .object(let members) = value else { return nil }
        let prefix = path.isEmpty ? "" : path + "."
        for name in (rules["required"]?.array ?? []).compactMap(\.string) where members[name] == nil {
            return "field `\(prefix)\(name)` is missing"
        }
        let properties: [String: JSONValue] = if case .object(let named) = rules["properties"] { named } else { [:] }
        for (name, member) in members.sorted(by: { $0.key < $1.key }) {
            guard let schema = properties[name] ?? rules["additionalProperties"] else { continue }
            if let found = violation(of: member, by: schema, at: prefix + name) { return found }
        }
        return nil
    }

    private func elementViolation(of value: JSONValue, _ rules: [String: JSONValue], _ path: String) -> String? {
        guard case .array(let elements) = value else { return nil }
        if let least = rules["minItems"]?.double, Double(elements.count) < least {
            return "\(Self.field(path)) has fewer than \(Self.plain(least)) elements"
        }
        guard let schema = rules["items"] else { return nil }
        for (index, element) in elements.enumerated() {
            if let found = violation(of: element, by: schema, at: "\(path)[\(index)]") { return found }
        }
        return nil
    }

    private func alternativeViolation(of value: JSONValue, _ rules: [String: JSONValue], _ path: String) -> String? {
        guard let choices = rules["anyOf"]?.array else { return nil }
        let found = choices.map { violation(of: value, by: $0, at: path) }
        if found.contains(where: { $0 == nil }) { return nil }
        return found.compactMap { $0 }.joined(separator: ", or ")
    }

    private static func plain(_ number: Double) -> String {
        number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number)
    }

    /// The value at fault as a message shows it; nothing for lists and objects.
    private static func quoted(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): " `\(text.prefix(60))\(text.count > 60 ? "…" : "")`"
        case .integer(let number): " \(number)"
        case .number(let number): " \(number)"
        case .bool(let flag): " \(flag)"
        default: ""
        }
    }
}
