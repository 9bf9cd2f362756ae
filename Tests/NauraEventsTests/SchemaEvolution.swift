import NauraEvents

/// What a change of a schema does to programs that were built before it. Within a version only optional fields are
/// added: whoever reads has then every field that it knew, with the meaning that it knew, and whoever wrote before still
/// writes valid events.
enum SchemaEvolution {
    /// The keywords that say which values a field may have.
    private static let meanings = [
        "type", "enum", "const", "pattern", "format", "minimum", "maximum", "minLength", "maxLength", "minItems",
        "anyOf",
        "$ref", "additionalProperties",
    ]

    /// The changes from `old` to `new` that need a new version, each in a sentence with the field's place.
    static func breaks(from old: JSONValue, to new: JSONValue, at place: String = "") -> [String] {
        var breaks: [String] = []
        let name = place.isEmpty ? "the payload" : "`\(place)`"
        for keyword in meanings where old[keyword] != new[keyword] {
            if keyword == "additionalProperties", isObject(old[keyword]), isObject(new[keyword]) { continue }
            breaks.append("\(name): `\(keyword)` was \(text(old[keyword])) and is \(text(new[keyword]))")
        }
        let (was, required) = (names(old["required"]), names(new["required"]))
        for field in required.subtracting(was).sorted() { breaks.append("\(name) requires `\(field)`, and did not") }
        for field in was.subtracting(required).sorted() { breaks.append("\(name) required `\(field)`, and does not") }
        let fields = members(new["properties"])
        for (field, schema) in members(old["properties"]).sorted(by: { $0.key < $1.key }) {
            let inner = place.isEmpty ? field : "\(place).\(field)"
            guard let now = fields[field] else {
                breaks.append("`\(inner)` is gone")
                continue
            }
            breaks += self.breaks(from: schema, to: now, at: inner)
        }
        for (keyword, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
            if let before = old[keyword], let now = new[keyword], isObject(before), isObject(now) {
                breaks += self.breaks(from: before, to: now, at: place + suffix)
            } else if keyword == "items", (old[keyword] == nil) != (new[keyword] == nil) {
                breaks.append("\(name): `items` was \(text(old[keyword])) and is \(text(new[keyword]))")
            }
        }
        let definitions = members(new["$defs"])
        for (definition, schema) in members(old["$defs"]).sorted(by: { $0.key < $1.key }) {
            if let now = definitions[definition] {
                breaks += self.breaks(from: schema, to: now, at: "$defs/\(definition)")
            }
        }
        return breaks
    }

    private static func isObject(_ value: JSONValue?) -> Bool { if case .object = value { true } else { false } }

    private static func members(_ value: JSONValue?) -> [String: JSONValue] {
        if case .object(let members) = value { members } else { [:] }
    }

    private static func names(_ value: JSONValue?) -> Set<String> { Set((value?.array ?? []).compactMap(\.string)) }

    private static func text(_ value: JSONValue?) -> String { value.map { "\($0)" } ?? "absent" }
}
