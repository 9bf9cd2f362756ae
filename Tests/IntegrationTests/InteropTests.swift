import Foundation
import NauraEvents
import NauraPostgres
import NauraTestKit
import Testing

@Suite(
    "Other Kafka clients", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct InteropTests {
    private func expectEffects(_ ids: Set<String>, in harness: RuntimeHarness) async throws {
        #expect(try await harness.waitFor(ids.count, in: "probe.effect"))
        let rows = try await harness.database.query("select event_id from probe.effect")
        #expect(Set(try rows.map { try $0.get("event_id", as: String.self) }) == ids)
        #expect(try await harness.count("ledger.dead_letter") == 0)
    }

    @Test(
        "kcat publishes in binary and in structured mode; what it gets wrong becomes a dead letter with the reason",
        .enabled(if: Interop.hasKcat, "\(Interop.kcatRequirement)"))
    func kcat() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let brokers = harness.broker.brokers
            let time = CodableTimes.string(from: Date())
            let attributes = [
                ("ce_specversion", "1.0"), ("ce_id", "kcat-1"), ("ce_type", "new-data"), ("ce_source", "/kcat"),
                ("ce_time", time), ("content-type", "application/json"),
            ]
            try await Interop.produce(
                #"{"dataset":"one","uri":"file:///ok/1"}"#, headers: attributes, key: "one", topic: "new-data",
                to: brokers)
            let structured =
                #"{"specversion":"1.0","id":"kcat-2","type":"new-data","source":"/kcat","time":"\#(time)","#
                + #""datacontenttype":"application/json","data":{"dataset":"one","uri":"file:///ok/2"}}"#
            try await Interop.produce(
                structured, headers: [("content-type", "application/cloudevents+json; charset=utf-8")], key: "one",
                topic: "new-data", to: brokers)
            try await expectEffects(["kcat-1", "kcat-2"], in: harness)
            try await Interop.produce(
                #"{"dataset":"one"}"#, headers: attributes.map { $0 == ("ce_id", "kcat-1") ? ("ce_id", "kcat-3") : $0 },
                key: "one", topic: "new-data", to: brokers)
            #expect(
                try await harness.waitFor(
                    1, in: "ledger.dead_letter", "topic = 'new-data' and message like '%`uri` is missing%'"))
            #expect(await probe.stop() == 0)
        }
    }

    @Test(
        "the SDK cloudevents publishes in both modes, and accepts every record that came of it",
        .enabled(if: Interop.hasSDK, "\(Interop.sdkRequirement)"))
    func sdk() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let brokers = harness.broker.brokers
            try await Interop.publish(1, to: brokers)
            try await Interop.publish(2, to: brokers)
            try await expectEffects(
                ["sdk-binary-1", "sdk-structured-1", "sdk-binary-2", "sdk-structured-2"], in: harness)
            #expect(try await harness.waitUntilSent())
            #expect(await probe.stop() == 0)
            let counts = try await Interop.accept(["new-data", "retrain-due"], at: brokers)
            #expect(counts == ["new-data": 4, "retrain-due": 4])
        }
    }
}
