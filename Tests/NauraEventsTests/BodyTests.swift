import Foundation
import NauraSchemas
import Testing

@testable import NauraEvents

/// The quick coder is held against Foundation's: whatever it answers must be what Foundation answers.
@Suite("Bodies are read and written as Foundation does it")
struct BodyTests {
    private func foundation<P: EventPayload>(_ type: P.Type, _ body: [UInt8]) -> P? {
        guard BodyScan.isStrict(body) else { return nil }
        do { return try CodableTimes.decoder.decode(type, from: Data(body)) } catch { return nil }
    }

    /// Nil when the quick decoder leaves the body to Foundation.
    private func compare<P: EventPayload>(_ type: P.Type, _ body: [UInt8]) throws -> Bool? {
        guard let quick = BodyDecoder.decode(type, from: body) else { return nil }
        let other = try #require(foundation(type, body), "accepted: \(String(decoding: body, as: UTF8.self))")
        let bytes = Array(try CodableTimes.encoder.encode(other))
        if let written = BodyEncoder.encode(quick) { #expect(written == bytes) }
        return try Array(CodableTimes.encoder.encode(quick)) == bytes
    }

    private func compare(_ payload: any EventPayload, _ body: [UInt8]) throws -> Bool? {
        func opened<P: EventPayload>(_ payload: P) throws -> Bool? { try compare(P.self, body) }
        return try opened(payload)
    }

    @Test("every sample is read by the quick decoder, and equally", arguments: EventCatalogue.entries.map(\.type))
    func samples(type: EventType) throws {
        let entry = try #require(EventCatalogue.entry(for: type))
        let sample = Array(try #require(EmbeddedFiles.text(entry.sampleFile)).utf8)
        let payload = try EventCatalogue.payload(of: type, body: sample)
        #expect(try compare(payload, sample) == true)
    }

    @Test("a damaged sample is read equally or not at all", arguments: EventCatalogue.entries.map(\.type))
    func damagedSamples(type: EventType) throws {
        let entry = try #require(EventCatalogue.entry(for: type))
        let sample = Array(try #require(EmbeddedFiles.text(entry.sampleFile)).utf8)
        let payload = try EventCatalogue.payload(of: type, body: sample)
        var random = SystemRandomNumberGenerator()
        let pieces: [[UInt8]] = [
            "\"", "{", "}", "[", "]", ",", ":", "0", "1", "-", ".", "e", "E9", "null", "true", " ", "\u{0}", "\\", "é",
            "\n",
            "1.0", "1e400", "9223372036854775808", "-0", "01",
        ].map { Array($0.utf8) }
        var read = 0
        for _ in 0..<2_000 {
            var body = sample
            let place = Int.random(in: 0..<body.count, using: &random)
            let length = Int.random(in: 0...min(4, body.count - place), using: &random)
            body.replaceSubrange(place..<place + length, with: pieces.randomElement(using: &random) ?? [])
            if let isEqual = try compare(payload, body) {
                read += 1
                #expect(isEqual, "\(String(decoding: body, as: UTF8.self))")
            }
        }
        #expect(read > 0)
    }

    @Test(
        "odd JSON is read equally or not at all",
        arguments: [
            #"{"model":"a","model":"b","items":[]}"#, #"{"model":"a","items":null,"label":"x","unit":"u"}"#,
            #"{"model":"a","items":[{"unit":"u","at":"2026-01-01T00:00:00Z","label":1.0,"observed_at":"2026-01-01T00:00:00Z"}]}"#,
            #"{"model":"a","items":[{"unit":"u","at":"2026-01-01T00:00:00Z","label":1e3,"observed_at":"2026-01-01T00:00:00Z"}]}"#,
            #"{"model":"a","items":[{"unit":"u","at":"2026-01-01T00:00:00Z","label":true,"observed_at":"2026-01-01T00:00:00Z"}]}"#,
            #"{"model":"é","items":[]}"#, #"{"model":"\u00e9","items":[]}"#, #"{"model":"a","items":[],}"#,
            #"{"model":"a","items":[]} x"#, #" {"model" : "a" , "items" : [ ] } "#, "", "{", "null", "[]", "\"\"",
        ])
    func odd(body: String) throws {
        #expect(try compare(GroundTruth.self, Array(body.utf8)) != false)
    }

    @Test("numbers of every size are written as Foundation writes them")
    func numbers() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<5_000 {
            let value = Double(bitPattern: UInt64.random(in: .min ... .max, using: &random))
            guard value.isFinite else { continue }
            for number in [value, value.rounded(), Double(Float(value)), Double(Int32.random(in: .min ... .max)) / 100]
            {
                guard number.isFinite else { continue }
                let item = ["x": number]
                #expect(BodyEncoder.encode(item) == Array(try CodableTimes.encoder.encode(item)))
            }
        }
    }

    @Test("texts and keys are written and ordered as Foundation does it")
    func texts() throws {
        let texts = [
            "", "a", "B", "b", "é", "z/\\", "\"", "\n", "日本", "a b", "_", "10", "9", "ä", "\u{7f}", "😀", "a1", "a_b",
        ]
        for text in texts {
            for value in [[text: text], Dictionary(uniqueKeysWithValues: texts.map { ($0, text) })] {
                if let quick = BodyEncoder.encode(value) {
                    #expect(quick == Array(try CodableTimes.encoder.encode(value)))
                }
            }
        }
        let plain = Dictionary(uniqueKeysWithValues: texts.filter { BodyEncoder.encode($0) != nil }.map { ($0, 1) })
        #expect(BodyEncoder.encode(plain) == Array(try CodableTimes.encoder.encode(plain)))
        #expect(BodyEncoder.encode([[Int]]()) == Array("[]".utf8))
        #expect(BodyEncoder.encode([String: Int]()) == Array("{}".utf8))
    }
}
