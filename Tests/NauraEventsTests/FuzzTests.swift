// Damaged records: each is an event that says the same when written and read again, or a fault with a reason.

import Foundation
import NauraSchemas
import NauraTestKit
import Testing

@testable import NauraEvents

@Suite("Fuzzed records")
struct FuzzTests {
    private static let moment = Date(timeIntervalSince1970: 1_795_000_000)

    @Test("a structured record is refused with a reason, or says the same in either mode")
    func records() async throws {
        var samples: [(topic: String, bytes: [UInt8])] = []
        for entry in EventCatalogue.entries {
            let body = Array(try #require(EmbeddedFiles.text(entry.sampleFile)).utf8)
            let envelope = Envelope(
                id: "sample", type: entry.type, source: "/a/b", subject: "s", time: Self.moment, causeID: "c",
                rootID: "r", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                extensions: ["sequence": "7"])
            samples.append((entry.type.rawValue, try EncodedEvent(envelope: envelope, body: body).structured()))
        }
        for (topic, sample) in samples {
            try await Fuzz.run(
                "records", samples: [sample], tokens: [#""id":"#, #""data_base64":"AA==","#, #""time":"2026","#, "ce_"]
            ) { input in
                do {
                    try check(try EncodedEvent.decodeStructured(body: input, topic: topic, recordTime: Self.moment))
                } catch let fault as EventFault {
                    try Fuzz.require(!fault.message.isEmpty, "a fault without words")
                }
            }
        }
    }

    private func check(_ event: EncodedEvent) throws {
        let binary = try EncodedEvent.decode(
            headers: event.headers, body: event.body, topic: event.envelope.type.rawValue, recordTime: Self.moment)
        try Fuzz.require(binary.envelope == event.envelope, "in binary mode: \(binary.envelope)")
        try Fuzz.require(binary.body == event.body, "in binary mode another body")
        let payload = try EventCatalogue.payload(of: event.envelope.type, body: event.body)
        let written = try encoded(payload)
        let again = try encoded(try EventCatalogue.payload(of: event.envelope.type, body: written))
        try Fuzz.require(written == again, "another payload: \(String(decoding: again, as: UTF8.self))")
    }

    private func encoded(_ payload: any EventPayload) throws -> [UInt8] {
        Array(try CodableTimes.encoder.encode(payload))
    }
}
