import Foundation
import NauraSchemas
import Testing

@testable import NauraEvents

@Suite("Schemas and samples")
struct SampleTests {
    @Test("every type has a schema and a sample, and no file is left over")
    func filesMatchTheCatalogue() {
        let expected = EventCatalogue.entries.flatMap { [$0.schemaFile, $0.sampleFile] }
        let found = EmbeddedFiles.all.map(\.name).filter { $0.hasSuffix(".json") && $0.contains(".v") }
        #expect(Set(found) == Set(expected))
    }

    @Test(
        "a sample decodes, encodes back to the same JSON, and its key is the field that the catalogue names",
        arguments: EventCatalogue.entries.map(\.type))
    func sampleRoundTrips(type: EventType) throws {
        let entry = try #require(EventCatalogue.entry(for: type))
        let sample = Array(try #require(EmbeddedFiles.text(entry.sampleFile)).utf8)
        let value = try JSONValue(json: sample)
        #expect(try EventSchema.schema(of: type).firstViolation(of: value) == nil)
        let payload = try EventCatalogue.payload(of: type, body: sample)
        #expect(payload.subject == value[entry.keyField]?.string)
        #expect(try JSONValue(encoding: payload) == value)
    }

    @Test("equal payloads give equal bytes")
    func encodingIsDeterministic() throws {
        let trained = ModelTrained(
            model: "churn", version: 1, run: "r", trainingSet: String(repeating: "a", count: 64),
            digest: String(repeating: "b", count: 64), artifact: String(repeating: "c", count: 64),
            metrics: Dictionary(uniqueKeysWithValues: (0..<20).map { ("m\($0)", Double($0)) }), causes: ["x"])
        let first = try EncodedEvent(trained, id: "1", source: "/naura/train", time: .distantPast)
        for _ in 0..<20 {
            #expect(try EncodedEvent(trained, id: "1", source: "/naura/train", time: .distantPast) == first)
        }
    }

    @Test("a schema with a keyword that is not checked is refused")
    func unknownKeywordIsRefused() {
        #expect(throws: EventFault.self) { try JSONSchema(json: Array(#"{"type":"object","oneOf":[]}"#.utf8)) }
    }
}
