import Foundation
import NauraEvents
import NauraKafka
import NauraPostgres
import NauraTestKit
import Testing

@Suite(
    "Records that are no event of their topic", .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct RuntimeBadEventTests {
    @Test("A bad record becomes a dead letter whose reason names the field, and never stops its partition")
    func badRecords() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let good = try RuntimeHarness.event("ok", 1)
            func record(_ body: String, _ change: (String, String)? = nil) -> KafkaMessage {
                var headers = good.headers
                if let index = headers.firstIndex(where: { $0.name == "ce_id" }) {
                    headers[index].value = Array(UUID().uuidString.utf8)
                }
                if let change, let index = headers.firstIndex(where: { $0.name == change.0 }) {
                    headers[index].value = Array(change.1.utf8)
                }
                return KafkaMessage(
                    topic: "new-data", key: Array("one".utf8), value: Array(body.utf8), headers: headers)
            }
            let cases: [(record: KafkaMessage, reason: String)] = [
                (record("{\"dataset\": "), "JSON"),
                (record("{\"dataset\":\"one\",\"format\":\"csv\"}"), "uri"),
                (record("{\"dataset\":7,\"uri\":\"file:///ok/1\",\"format\":\"csv\"}"), "dataset"),
                (record("{\"dataset\":\"one\",\"uri\":\"file:///ok/1\",\"format\":\"xls\"}"), "format"),
                (record("{}", ("ce_type", "no-such-type")), "no-such-type"),
                (record(String(decoding: good.body, as: UTF8.self), ("ce_time", "yesterday")), "time"),
                (KafkaMessage(topic: "new-data", key: nil, value: Array("hello".utf8)), ""),
                (KafkaMessage(topic: "new-data", key: nil, value: []), ""),
            ]
            try await harness.producer.send(cases.map(\.record))
            try await harness.send([try RuntimeHarness.event("ok", 42)])
            #expect(try await harness.waitFor(cases.count, in: "ledger.dead_letter"))
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 42"))
            let letters = try await harness.database.query("select code, message from ledger.dead_letter").map {
                (code: try $0.get("code", as: String.self), message: try $0.get("message", as: String.self))
            }
            #expect(letters.count == cases.count)
            for one in cases where !one.reason.isEmpty {
                #expect(
                    letters.contains { $0.message.contains(one.reason) }, "no reason names \(one.reason): \(letters)")
            }
            // The same bad record again is the same dead letter.
            try await harness.producer.send([cases[6].record])
            try await harness.send([try RuntimeHarness.event("ok", 43)])
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 43"))
            #expect(try await harness.count("ledger.dead_letter") == cases.count)
            #expect(try await harness.waitFor(cases.count, in: "ledger.outbox", "type = 'dead-letter'"))
            #expect(await probe.stop() == 0)
        }
    }

    @Test("An id that another source has used is refused aloud, not taken for the event of that source")
    func takenID() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let sink = try await harness.startReady("sink")
            let first = try RuntimeHarness.event("ok", 1, id: "2026-03")
            let second = try EncodedEvent(
                NewData(dataset: "one", uri: "file:///ok/2"), id: "2026-03", source: "https://example.org/elsewhere",
                time: Date(), causeID: nil, rootID: nil)
            try await harness.send([first, second, first, try RuntimeHarness.event("ok", 3), second])
            #expect(try await harness.waitFor(2, in: "probe.sink"))
            #expect(try await harness.waitFor(1, in: "ledger.dead_letter"))
            let letter = try #require(
                try await harness.database.first("select code, message from ledger.dead_letter limit 1"))
            #expect(try letter.get("code", as: String.self) == "id-taken")
            #expect(try letter.get("message", as: String.self).contains("https://example.org/outside"))
            #expect(try await harness.numbers(in: "probe.effect") == [1, 3])
            #expect(try await harness.count("ledger.dead_letter") == 1)
            #expect(try await harness.count("probe.sink") == 2)
            #expect(await probe.stop() == 0)
            #expect(await sink.stop() == 0)
        }
    }
}
