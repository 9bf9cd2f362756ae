import Foundation
import NauraSchemas
import Testing

@testable import NauraEvents

@Suite("Schemas over releases")
struct EvolutionTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "schemas")
    private static let released = folder.appending(path: "released")

    /// The file names of the last release that end so: `.sample.json`, or the schemas.
    private static func names(samples: Bool) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: released.path)
            .filter { $0.hasSuffix(".json") && $0.hasSuffix(".sample.json") == samples }.sorted()
    }

    private static func json(_ file: URL) throws -> JSONValue { try JSONValue(json: Array(Data(contentsOf: file))) }

    /// The type that a file's name begins with.
    private static func type(of name: String) -> EventType { EventType(String(name.prefix { $0 != "." })) }

    @Test("no schema of the last release has changed but by optional fields; what breaks needs a new version")
    func nothingBreaks() throws {
        let names = try Self.names(samples: false)
        #expect(names.count >= 15)
        for name in names {
            let file = Self.folder.appending(path: name)
            guard FileManager.default.fileExists(atPath: file.path) else {
                // A newer version stands in its place: its consumers read the old samples, which another test asks.
                let entry = EventCatalogue.entry(for: Self.type(of: name))
                #expect(entry.map { $0.schemaFile > name } == true, "\(name) is gone, and no newer version is there")
                continue
            }
            let breaks = SchemaEvolution.breaks(
                from: try Self.json(Self.released.appending(path: name)), to: try Self.json(file))
            #expect(breaks.isEmpty, "\(name) needs a new version: \(breaks.joined(separator: "; "))")
        }
    }

    @Test("today's consumers read the samples of the last release")
    func readsYesterday() throws {
        for name in try Self.names(samples: true) {
            let body = Array(try Data(contentsOf: Self.released.appending(path: name)))
            let version = name.split(separator: ".").dropFirst().first.map(String.init) ?? ""
            let type = Self.type(of: name)
            try Self.read(body, type: type, dataSchema: "\(EventCatalogue.dataSchemaPrefix)\(type):\(version)")
        }
    }

    @Test(
        "today's consumers read what the next version says: unknown fields at every level, and its `dataschema`",
        arguments: EventCatalogue.entries.map(\.type))
    func readsTomorrow(type: EventType) throws {
        let entry = try #require(EventCatalogue.entry(for: type))
        let sample = try JSONValue(json: Array(try #require(EmbeddedFiles.text(entry.sampleFile)).utf8))
        let schema = try Self.json(Self.folder.appending(path: entry.schemaFile))
        let grown = Self.grown(sample, by: schema)
        #expect(grown != sample)
        let body = Array(try CodableTimes.encoder.encode(grown))
        let next = "\(EventCatalogue.dataSchemaPrefix)\(type):v\(entry.version + 1)"
        let payload = try Self.read(body, type: type, dataSchema: next)
        #expect(try JSONValue(encoding: payload) == sample)
    }

    /// Reads a record as a stage does: envelope, then payload.
    @discardableResult
    private static func read(_ body: [UInt8], type: EventType, dataSchema: String) throws -> any EventPayload {
        let attributes = [
            ("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_type", type.rawValue), ("ce_source", "/naura/earlier"),
            ("ce_time", "2026-11-24T05:50:49Z"), ("ce_dataschema", dataSchema), ("content-type", "application/json"),
            ("ce_later", "unknown attributes are kept"),
        ]
        let event = try EncodedEvent.decode(
            headers: attributes.map { (name: $0.0, value: Array($0.1.utf8)) }, body: body, topic: type.rawValue,
            recordTime: Date())
        return try EventCatalogue.payload(of: event.envelope.type, body: event.body)
    }

    /// `value` with a field that nobody knows in each object whose fields the schema names.
    private static func grown(_ value: JSONValue, by schema: JSONValue) -> JSONValue {
        var rules = schema
        if let reference = schema["$ref"]?.string?.split(separator: "/").last,
            let target = schema["$defs"]?[String(reference)]
        {
            rules = target
        }
        switch value {
        case .object(var members):
            guard case .object(let fields) = rules["properties"] else { return value }
            for (name, inner) in members { members[name] = fields[name].map { grown(inner, by: $0) } ?? inner }
            members["field_of_tomorrow"] = .object(["a": .array([.integer(1), .null])])
            return .object(members)
        case .array(let elements):
            guard let inner = rules["items"] else { return value }
            return .array(elements.map { grown($0, by: inner) })
        default: return value
        }
    }

    struct Change: Sendable, CustomTestStringConvertible {
        let name: String
        /// What is replaced in the schema's text, and by what.
        let old: String
        let new: String
        /// What is found; nil when the change breaks nothing.
        let found: String?
        var testDescription: String { name }
    }

    private static let schema = #"""
        {"type": "object", "required": ["rows", "uri"], "properties": {
            "rows": {"type": "integer", "minimum": 0}, "uri": {"type": "string"}, "note": {"type": "string"},
            "format": {"enum": ["csv", "jsonl"]}, "kept": {"type": "boolean"},
            "columns": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}}}}}}
        """#

    @Test(
        "the check finds each kind of breaking change, and lets an optional field in",
        arguments: [
            Change(name: "nothing", old: "note", new: "note", found: nil),
            Change(
                name: "an optional field is added", old: #""kept": {"#, new: #""more": {"type": "string"}, "kept": {"#,
                found: nil),
            Change(
                name: "a required field is removed", old: #""uri": {"type": "string"}, "#, new: "",
                found: "`uri` is gone"),
            Change(
                name: "a required field is renamed", old: #""uri""#, new: #""address""#, found: "requires `address`"),
            Change(
                name: "a required field has another type", old: #""rows": {"type": "integer""#,
                new: #""rows": {"type": "number""#, found: "`rows`: `type` was"),
            Change(
                name: "a new field is required", old: #"["rows", "uri"]"#, new: #"["rows", "uri", "kept"]"#,
                found: "requires `kept`, and did not"),
            Change(
                name: "a required field is optional now", old: #"["rows", "uri"]"#, new: #"["rows"]"#,
                found: "required `uri`, and does not"),
            Change(
                name: "a choice is added", old: #""jsonl"]"#, new: #""jsonl", "xml"]"#, found: "`format`: `enum` was"),
            Change(
                name: "a limit is moved", old: #""minimum": 0"#, new: #""minimum": 1"#, found: "`rows`: `minimum` was"),
            Change(
                name: "an optional field is removed", old: #""note": {"type": "string"},"#, new: "",
                found: "`note` is gone"),
            Change(
                name: "a field within a list's element has another type", old: #""name": {"type": "string"}"#,
                new: #""name": {"type": "integer"}"#, found: "`columns[].name`: `type` was"),
        ])
    func finds(change: Change) throws {
        let old = try JSONValue(json: Array(Self.schema.utf8))
        let new = try JSONValue(json: Array(Self.schema.replacing(change.old, with: change.new).utf8))
        let breaks = SchemaEvolution.breaks(from: old, to: new)
        if let found = change.found {
            #expect(breaks.contains { $0.contains(found) }, "\(breaks)")
        } else {
            #expect(breaks.isEmpty, "\(breaks)")
        }
    }
}
