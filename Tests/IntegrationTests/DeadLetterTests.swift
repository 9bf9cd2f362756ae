import Foundation
import NauraEvents
import NauraKafka
import NauraLedger
import NauraPostgres
import NauraTestKit
import Testing

/// What operators do with dead letters, against a real broker, a real database and a real worker.
@Suite(
    "Dead letters, redriven and dropped", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct DeadLetterTests {
    @Test(
        """
        A redriven event is handled once under its own id, with its extensions; one that fails again is the same letter \
        with its history, told of anew
        """)
    func events() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let plain = try RuntimeHarness.event("broken", 1)
            let event = EncodedEvent(
                envelope: Envelope(
                    id: plain.envelope.id, type: NewData.type, source: plain.envelope.source, subject: "one",
                    time: plain.envelope.time, extensions: ["tenant": "Zürich 🏔 \"1\"", "sequence": "7"]),
                body: plain.body)
            try await harness.publish([event])
            #expect(try await harness.waitFor(1, in: "ledger.dead_letter", "state = 'open'"))

            #expect(try await redrive(1, harness) == .event(event.envelope.id))
            #expect(try await harness.waitFor(1, in: "ledger.dead_letter", "state = 'open' and failures = 2"))
            #expect(try await harness.waitFor(2, in: "ledger.outbox", "type = 'dead-letter'"))
            #expect(
                try await harness.count("(select distinct event_id from ledger.outbox where type = 'dead-letter') d")
                    == 2)
            #expect(try await harness.count("ledger.dead_letter") == 1)

            try await repair(harness)
            #expect(try await redrive(1, harness) == .event(event.envelope.id))
            guard case .already(let by, _) = try await redrive(1, harness) else {
                Issue.record("a second redrive was not told from the first")
                return
            }
            #expect(by == "the test")
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 1"))

            // Neither the redrives nor a late delivery of the first record count twice.
            try await harness.send([event, try RuntimeHarness.event("ok", 2)])
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 2"))
            #expect(try await harness.numbers(in: "probe.effect") == [1, 2])
            #expect(try await harness.count("ledger.outbox", "event_id = '\(event.envelope.id)'") == 3)
            let sent = try await harness.records(of: "new-data").map {
                try EncodedEvent.decode(headers: $0.headers, body: $0.value, topic: $0.topic, recordTime: $0.timestamp)
            }
            let extensions = sent.filter { $0.envelope.id == event.envelope.id }.map(\.envelope.extensions)
            #expect(extensions == Array(repeating: event.envelope.extensions, count: 4))
            let letter = try #require(try await find(1, harness))
            #expect(letter.state == .redriven)
            #expect(letter.history.map(\.verb) == [.redriven, .redriven])
            #expect(letter.history.allSatisfy { $0.message == "number 1 is broken" && $0.actor == "the test" })
            #expect(try await harness.database.transaction { try await DeadLetters.isSettled(letter, in: $0) })
            #expect(try await DeadLetters.count(in: harness.database) == 0)
            #expect(await probe.stop() == 0)
        }
    }

    @Test("A redriven job is the same job that waits again; one that fails again is the same letter")
    func jobs() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            try await harness.publish([try RuntimeHarness.event("job", -1)])
            #expect(try await harness.waitFor(1, in: "ledger.dead_letter", "state = 'open'"))
            guard case .job(let id) = try await redrive(1, harness) else {
                Issue.record("no job was redriven")
                return
            }
            #expect(try await harness.waitFor(1, in: "ledger.dead_letter", "state = 'open' and failures = 2"))
            #expect(try await harness.waitFor(2, in: "ledger.outbox", "type = 'dead-letter'"))
            #expect(
                try await harness.count("(select distinct event_id from ledger.outbox where type = 'dead-letter') d")
                    == 2)
            try await repair(harness)
            #expect(try await redrive(1, harness) == .job(id))
            #expect(try await harness.waitFor(1, in: "probe.settled", "job = \(id)"))
            #expect(try await harness.count("ledger.job", "state = 'done' and tries = 0") == 1)
            #expect(try await harness.count("ledger.dead_letter") == 1)
            #expect(await probe.stop() == 0)
        }
    }

    @Test(
        "What was no readable event, or is too old for the inbox, is refused with what to do; a drop is on record, once"
    )
    func refusals() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            try await harness.producer.send([
                KafkaMessage(topic: "new-data", key: Array("one".utf8), value: Array("hello".utf8))
            ])
            #expect(try await harness.waitFor(1, in: "ledger.dead_letter"))
            let old = try EncodedEvent(
                NewData(dataset: "one", uri: "file:///ok/1"), id: .random(), source: "https://example.org/outside",
                time: Date(timeIntervalSinceNow: -40 * 86_400))
            try await harness.send([old])
            #expect(try await harness.waitFor(2, in: "ledger.dead_letter"))
            for (id, word) in [(1, "no readable event"), (2, "days ago")] {
                let refusal = await #expect(throws: LedgerError.self) { try await redrive(id, harness) }
                #expect(refusal?.code == .notRedrivable)
                #expect(refusal?.message.contains(word) == true && refusal?.message.contains("naura publish") == true)
            }
            #expect(try await drop(1, harness) == .dropped)
            guard case .already = try await drop(1, harness) else {
                Issue.record("a second drop was not told from the first")
                return
            }
            let refusal = await #expect(throws: LedgerError.self) { try await redrive(1, harness) }
            #expect(refusal?.message.contains("dropped by the test (no use)") == true)
            let letter = try #require(try await find(1, harness))
            #expect(letter.state == .dropped && letter.history.map(\.reason) == ["no use"])
            #expect(try await DeadLetters.open(in: harness.database) == [2])
            #expect(await probe.stop() == 0)
        }
    }

    private func redrive(_ id: Int, _ harness: RuntimeHarness) async throws -> Redriven {
        try await harness.database.transaction { try await DeadLetters.redrive(id, by: "the test", in: $0) }
    }

    private func drop(_ id: Int, _ harness: RuntimeHarness) async throws -> Dropped {
        try await harness.database.transaction {
            try await DeadLetters.drop(id, by: "the test", reason: "no use", in: $0)
        }
    }

    private func find(_ id: Int, _ harness: RuntimeHarness) async throws -> DeadLetterDetail? {
        try await harness.database.transaction { try await DeadLetters.find(id, in: $0) }
    }

    private func repair(_ harness: RuntimeHarness) async throws {
        try await harness.database.update("insert into probe.effect (key, number) values ('repaired', -1)")
    }
}
