import Foundation
import NauraSchemas
import Testing
import NauraRules

@testable import NauraEvents

@Suite("Faults name the field")
struct FaultTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let type: EventType
        let body: String
        let message: String
        var testDescription: String { message }
    }

    static let cases = [
        Case(type: "new-data", body: #"{"dataset":"d"}"#, message: "field `uri` is missing"),
        Case(
            type: "new-data", body: #"{"dataset":7,"uri":"file:///a"}"#,
            message: "field `dataset`: expected text, found integer 7"),
        Case(
            type: "new-data", body: #"{"dataset":"d","uri":"not a uri"}"#,
            message: "field `uri`: expected a URI, found `not a uri`"),
        Case(
            type: "new-data", body: #"{"dataset":"d","uri":"ftp://host/a"}"#,
            message: "field `uri`: expected the pattern ^(file|https?|s3)://., found `ftp://host/a`"),
        Case(type: "new-data", body: #"{"dataset":"","uri":"file:///a"}"#, message: "field `dataset` is empty"),
        Case(
            type: "new-data", body: #"{"dataset":"d","uri":"file:///a","format":"xls"}"#,
            message: "field `format`: expected one of csv, jsonl, parquet, null, found `xls`"),
        Case(
            type: "new-data",
            body: #"{"dataset":"d","uri":"file:///a","window":{"from":"yesterday","to":"2026-01-01T00:00:00Z"}}"#,
            message: "field `window.from`: expected an RFC 3339 time, found `yesterday`"),
        Case(
            type: "data-rejected", body: #"{"dataset":"d","violations":[{"rule":"r","count":"many","sample":[]}]}"#,
            message: "field `violations[0].count`: expected integer, found text `many`"),
        Case(
            type: "model-promoted", body: #"{"model":"m","version":1.5}"#,
            message: "field `version`: expected integer, found number 1.5"),
        Case(
            type: "model-promoted", body: #"{"model":"m","version":0}"#,
            message: "field `version`: 0 is below the minimum 1"),
        Case(
            type: "retrain-due", body: #"{"model":"m"}"#,
            message: "field `slot` is missing, or field `requested_by` is missing"),
        Case(
            type: "predictions",
            body: #"""
                {"model":"m","items":[{"prediction_id":"p","version":1,"arm":"champion","at":"2026-01-01T00:00:00Z",
                "features":{"tenure":true}}]}
                """#,
            message: "field `items[0].features.tenure`: expected number or text or null, found boolean true"),
        Case(type: "new-data", body: "[1]", message: "the body: expected object, found list"),
        Case(
            type: "new-data", body: #"{"dataset":"a\u0000b","uri":"file:///a"}"#,
            message: "the body contains the character U+0000, which no table can hold"),
    ]

    @Test("a body that breaks its schema says which field does, and how", arguments: cases)
    func namesTheField(example: Case) {
        let fault = #expect(throws: EventFault.self) {
            try EventSchema.validate(Array(example.body.utf8), type: example.type)
        }
        #expect(fault?.message == example.message)
        #expect(fault?.code == .schemaViolation)
    }

    @Test(
        "a body that is no JSON says so",
        arguments: [
            "", "hello", "{", #"{"dataset" "d"}"#,
            #"{"dataset":"d","uri":"file:///a",}"#, #"{"dataset":"d","uri":"file:///a","format":["csv" , ]}"#,
            "\u{FEFF}\u{0}",
        ])
    func notJSON(body: String) {
        let fault = #expect(throws: EventFault.self) { try EventSchema.validate(Array(body.utf8), type: "new-data") }
        #expect(fault?.code == .notJSON)
        #expect(fault?.message.hasPrefix("the body is not JSON") == true)
    }

    @Test("a backslash that is escaped before u0000 is harmless text")
    func escapedBackslash() throws {
        try EventSchema.validate(Array(#"{"dataset":"a\\u0000b","uri":"file:///a"}"#.utf8), type: "new-data")
    }

    @Test("a payload that breaks its own schema is never encoded")
    func ownPayloadIsChecked() {
        let fault = #expect(throws: EventFault.self) {
            try EncodedEvent(NewData(dataset: "d", uri: "nowhere"), id: "1", source: "/naura/test", time: .now)
        }
        #expect(fault?.message == "field `uri`: expected a URI, found `nowhere`")
        #expect(throws: EventFault.self) {
            let column = DriftAlert.Column(name: "c", method: "psi", statistic: .nan, threshold: 0.2)
            let window = TimeWindow(from: .distantPast, to: .now)
            let alert = DriftAlert(
                model: "m", version: 1, kind: .data, window: window, columns: [column], state: .firing)
            _ = try EncodedEvent(alert, id: "1", source: "/naura/test", time: .now)
        }
    }

    @Test("decoding and schema judge damaged samples alike", arguments: EventCatalogue.entries.map(\.type))
    func judgementsAgree(type: EventType) throws {
        let entry = try #require(EventCatalogue.entry(for: type))
        let sample = try JSONValue(json: Array(try #require(EmbeddedFiles.text(entry.sampleFile)).utf8))
        let schema = try EventSchema.schema(of: type)
        var random = SplitMix64(seed: 7)
        var refused = 0
        for _ in 0..<600 {
            var damaged = sample
            for _ in 0...Int(random.next() % 2) { damaged = damaged.damaged(by: &random) }
            let body = Array(try CodableTimes.encoder.encode(damaged))
            let violation = schema.firstViolation(of: try JSONValue(json: body))
            let fault: EventFault?
            do throws(EventFault) {
                _ = try EventCatalogue.payload(of: type, body: body)
                fault = nil
            } catch {
                fault = error
            }
            #expect(
                (violation == nil) == (fault == nil),
                "\(String(decoding: body, as: UTF8.self)): schema \(violation ?? "agrees"), decoding \(String(describing: fault))"
            )
            if fault != nil { refused += 1 }
        }
        #expect(refused > 120)
    }

    @Test("broken bytes give a fault, never a crash", arguments: EventCatalogue.entries.map(\.type))
    func brokenBytes(type: EventType) throws {
        let entry = try #require(EventCatalogue.entry(for: type))
        let sample = Array(try #require(EmbeddedFiles.text(entry.sampleFile)).utf8)
        var random = SplitMix64(seed: 11)
        for _ in 0..<200 {
            var body = sample
            if random.next() % 2 == 0 {
                body.removeLast(1 + Int(random.next() % UInt64(body.count - 1)))
            } else {
                body[Int(random.next() % UInt64(body.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            do throws(EventFault) {
                _ = try EventCatalogue.payload(of: type, body: body)
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
        #expect(throws: EventFault.self) {
            try EventSchema.validate(Array(repeating: UInt8(ascii: "["), count: 100_000), type: type)
        }
    }
}

extension JSONValue {
    /// The same value with one place within changed: removed, or replaced by something odd.
    func damaged(by random: inout SplitMix64) -> JSONValue {
        switch self {
        case .object(let members) where !members.isEmpty && random.next() % 8 != 0:
            var members = members
            let name = members.keys.sorted()[Int(random.next() % UInt64(members.count))]
            members[name] = random.next() % 4 == 0 ? nil : members[name]?.damaged(by: &random)
            return .object(members)
        case .array(let elements) where !elements.isEmpty && random.next() % 4 != 0:
            var elements = elements
            let index = Int(random.next() % UInt64(elements.count))
            elements[index] = elements[index].damaged(by: &random)
            return .array(elements)
        default:
            let odd: [JSONValue] = [
                .null, .bool(true), .integer(0), .integer(-1), .integer(1), .integer(3_000_000_000), .number(0.5),
                .number(1e30),
                .string(""), .string("text"), .string("file:///a b"), .string("http://x"),
                .string("2026-02-30T00:00:00Z"),
                .string("2026-02-28T00:00:00+01:00"), .string(String(repeating: "a", count: 64)),
                .string(String(repeating: "ä", count: 201)), .string(String(repeating: "a", count: 64) + "\n"),
                .string("firing"), .string("champion"), .array([]), .array([.integer(1)]), .object([:]),
            ]
            return odd[Int(random.next() % UInt64(odd.count))]
        }
    }
}
