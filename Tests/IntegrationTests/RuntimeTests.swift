import Foundation
import Logging
import NauraEvents
import NauraKafka
import NauraLedger
import NauraPostgres
import NauraRules
import NauraTestKit
import Testing

/// The invariants of the runtime, each held against a real broker, a real database and real processes that are killed,
/// frozen and stopped. The display names are the invariants themselves (ARCHITECTURE.md).
@Suite(
    "What the runtime keeps", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct RuntimeTests {
    @Test(
        """
        The first statement of a transaction inserts (stage, event id) into the inbox; if the row exists, nothing else runs
        """)
    func inbox() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let event = try RuntimeHarness.event("claimed", 1)
            // Three deliveries of one event, two of them in one batch, and a neighbour to know when they are through.
            try await harness.send([event, event])
            #expect(try await harness.waitFor(1, in: "probe.effect"))
            try await harness.send([event, try RuntimeHarness.event("ok", 2)])
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 2"))
            #expect(try await harness.numbers(in: "probe.effect") == [1, 2])
            #expect(try await harness.count("ledger.outbox", "type = 'retrain-due'") == 2)
            #expect(try await harness.count("ledger.dead_letter") == 0)
            #expect(await probe.stop() == 0)
        }
    }

    @Test(
        """
        An offset is committed only after its transaction, and only when every earlier offset of the partition is settled
        """)
    func offsets() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady("probe", ["NAURA_BATCH_EVENTS": "1"])
            let events = [
                try RuntimeHarness.event("ok", 0), try RuntimeHarness.event("ok", 1),
                try RuntimeHarness.event("block", 2), try RuntimeHarness.event("ok", 3),
            ]
            let seen = try await harness.database.transaction { blocker in
                _ = try await blocker.query("select pg_advisory_xact_lock(2)")
                return try await harness.sendAndWatch(events, until: 2)
            }
            // The third event's transaction was open, so neither it nor the fourth was committed.
            #expect(seen.committed == 2)
            #expect(seen.effects == [0, 1])
            #expect(try await eventually { try await harness.committed() == 4 })
            #expect(try await harness.numbers(in: "probe.effect") == [0, 1, 2, 3])
            #expect(await probe.stop() == 0)
        }
    }

    @Test("Events of one partition are handled in order; a full queue pauses its partition, also after a rebalance")
    func order() async throws {
        try await RuntimeHarness.with { harness in
            let first = try await harness.startReady()
            let keys = ["one", "two", "three", "four", "five"]
            let events = try (0..<3_000).map { try RuntimeHarness.event("ok", $0, key: keys[$0 % 5]) }
            try await harness.send(Array(events[..<1_500]))
            // A second member comes while the first is at work, and leaves again.
            let second = try await harness.startReady(partitions: 2)
            try await harness.send(Array(events[1_500...]))
            #expect(try await harness.waitFor(2_000, in: "probe.effect"))
            #expect(await second.stop() == 0)
            #expect(try await harness.waitFor(3_000, in: "probe.effect"))
            for (index, key) in keys.enumerated() {
                #expect(
                    try await harness.numbers(in: "probe.effect", key: key)
                        == Array(stride(from: index, to: 3_000, by: 5)))
            }
            #expect(await first.stop() == 0)
        }
    }

    @Test("A revoked partition's work is finished or rolled back; it never commits an offset afterwards")
    func zombie() async throws {
        try await RuntimeHarness.with { harness in
            let frozen = try await harness.startReady()
            try await harness.send((0..<50).map { try RuntimeHarness.event("ok", $0) })
            #expect(try await harness.waitFor(50, in: "probe.effect"))
            try await harness.send((50..<60).map { try RuntimeHarness.event("sleep", $0) })
            frozen.freeze()
            let successor = try harness.start()
            try await harness.send((60..<200).map { try RuntimeHarness.event("ok", $0) })
            #expect(try await harness.waitFor(200, in: "probe.effect"))
            #expect(try await eventually { try await harness.committed() == 200 })
            frozen.thaw()
            // The zombie wakes with partitions that are another's, and must come to terms with that.
            let hasRejoined = try await eventually { frozen.log.contains("\"lost\":\"true\"") || !frozen.isRunning }
            #expect(hasRejoined, "\(frozen.log.suffix(2_000))")
            #expect(frozen.isRunning)
            try await harness.send((200..<300).map { try RuntimeHarness.event("ok", $0) })
            #expect(try await harness.waitFor(300, in: "probe.effect"))
            #expect(try await harness.committed() >= 200)
            #expect(try await harness.numbers(in: "probe.effect") == Array(0..<300))
            // How they end is the business of the test of `SIGTERM`.
            _ = await successor.stop()
            _ = await frozen.stop()
        }
    }

    @Test("A lost database or broker is waited for; it never makes a dead letter and never ends the process")
    func outages() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-outage-\(UUID().uuidString)")
        let cluster = LocalCluster(
            directory: folder, databaseName: "naura", settings: ["fsync": "off"], logger: .init(label: "naura.tests"))
        let url = try await cluster.ensureRunning().absoluteString
        let migrating = Database(
            url: url, connectionsMax: 1, applicationName: "naura test", logger: .init(label: "naura.tests"))
        _ = try await Migrator(files: TestDatabase.migrations).run(on: migrating)
        await migrating.close()
        try await RuntimeHarness.with(databaseURL: url) { harness in
            let probe = try await harness.startReady()
            let sink = try await harness.startReady("sink")
            try await harness.send((0..<100).map { try RuntimeHarness.event("ok", $0) })
            #expect(try await harness.waitFor(100, in: "probe.sink"))

            try await cluster.stop()
            try await harness.send((100..<200).map { try RuntimeHarness.event("ok", $0) })
            let hasNoticed = try await eventually { probe.log.contains("waiting for the database") }
            #expect(hasNoticed)
            _ = try await cluster.ensureRunning()
            #expect(try await harness.waitFor(200, in: "probe.sink"))

            try await harness.broker.kill()
            try await harness.publish((200..<300).map { try RuntimeHarness.event("ok", $0) })
            try await harness.broker.restartEmpty()
            #expect(try await harness.waitFor(300, in: "probe.sink"))

            #expect(probe.isRunning && sink.isRunning)
            #expect(try await harness.count("ledger.dead_letter") == 0)
            #expect(try await harness.repeated() == 0)
            #expect(try await harness.count("probe.effect") == 300)
            #expect(await probe.stop() == 0)
            #expect(await sink.stop() == 0)
        }
        try await cluster.stop()
        try FileManager.default.removeItem(at: folder)
    }

    @Test("A connection that is lost under an event, again and again, is no try of the event")
    func lostUnderEvent() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            try await harness.database.transaction { blocker in
                _ = try await blocker.query("select pg_advisory_xact_lock(7)")
                try await harness.send([try RuntimeHarness.event("block", 7), try RuntimeHarness.event("ok", 8)])
                // Twice as often as an event may fail.
                for _ in 0..<6 {
                    let isCut = try await eventually {
                        try await harness.database.first(
                            """
                            select pg_terminate_backend(pid) as is_cut from pg_locks
                            where locktype = 'advisory' and not granted
                            and database = (select oid from pg_database where datname = current_database())
                            """) != nil
                    }
                    #expect(isCut)
                }
            }
            #expect(try await eventually { try await harness.numbers(in: "probe.effect") == [7, 8] })
            #expect(try await harness.count("ledger.dead_letter") == 0)
            #expect(probe.isRunning)
            #expect(await probe.stop() == 0)
        }
    }

    @Test(
        """
        `SIGTERM`: stop polling, settle what is open (15 s), cancel (10 s), exit. Nothing waits without a limit
        """)
    func termination() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady("probe", ["NAURA_BATCH_EVENTS": "1"])
            try await harness.send([
                try RuntimeHarness.event("ok", 0), try RuntimeHarness.event("sleep", 3_000),
                try RuntimeHarness.event("ok", 2),
            ])
            #expect(try await harness.waitFor(1, in: "probe.effect"))
            let clock = ContinuousClock()
            let time = await clock.measure { #expect(await probe.stop() == 0) }
            #expect(time < .seconds(12))
            // What was open is settled; what had not begun is left to the next.
            let settled = try await harness.numbers(in: "probe.effect")
            #expect(settled == [0, 3_000], "\(probe.log.suffix(3_000))")

            // The next one meets an event that takes longer than anybody waits.
            let stuck = try await harness.startReady("probe", ["NAURA_BATCH_EVENTS": "1"])
            #expect(try await harness.waitFor(3, in: "probe.effect"))
            try await harness.send([try RuntimeHarness.event("sleep", 300_000)])
            let hasBegun = try await eventually {
                try await harness.count(
                    "pg_stat_activity",
                    "application_name = 'naura-probe' and state = 'idle in transaction' and datname = current_database()"
                ) > 0
            }
            #expect(hasBegun)
            let limit = await clock.measure { _ = await stuck.stop() }
            #expect(limit < .seconds(28))
            #expect(try await harness.numbers(in: "probe.effect") == [0, 3_000, 2], "\(stuck.log.suffix(3_000))")
        }
    }

    @Test("A job is settled by the holder of its lease or by nobody")
    func leases() async throws {
        try await RuntimeHarness.with { harness in
            let frozen = try await harness.startReady()
            try await harness.publish([try RuntimeHarness.event("job", 1_500)])
            #expect(try await harness.waitFor(1, in: "probe.claim"))
            frozen.freeze()
            // Two seconds of silence, and the job is another's.
            let successor = try harness.start()
            #expect(try await harness.waitFor(1, in: "probe.settled"))
            frozen.thaw()
            let isRefused = try await eventually {
                frozen.log.contains("another runner has the job") || frozen.log.contains("lease")
            }
            #expect(isRefused)
            // A second job of the same key goes on, and each was settled once.
            try await harness.publish([try RuntimeHarness.event("job", 1)])
            #expect(try await harness.waitFor(2, in: "probe.settled"))
            #expect(try await harness.repeated(in: "probe.settled", by: "job") == 0)
            #expect(
                try await harness.count("ledger.outbox", "type = 'retrain-due' and source = '/naura/probe-job'") == 2)
            #expect(await successor.stop() == 0)
            #expect(await frozen.stop() == 0)
        }
    }

    @Test(
        """
        Outbox rows form streams: an event reaches Kafka at least once, in order per stream, also when its writer died; \
        its reader counts it once
        """)
    func streams() async throws {
        try await RuntimeHarness.with { harness in
            var probe = try await harness.startReady()
            let sink = try await harness.startReady("sink")
            var random = SplitMix64(seed: 11)
            var sent = 0
            // Killed again and again in mid-stream, at moments that a seed chooses.
            for _ in 0..<6 {
                let events = try (sent..<(sent + 400)).map { try RuntimeHarness.event("ok", $0) }
                sent += 400
                try await harness.send(events)
                let target = sent - Int.random(in: 1...400, using: &random)
                _ = try await harness.waitFor(target, in: "probe.effect")
                await probe.kill()
                probe = try harness.start()
            }
            #expect(try await harness.waitFor(sent, in: "probe.sink"))
            #expect(try await harness.numbers(in: "probe.effect") == Array(0..<sent))
            #expect(try await harness.numbers(in: "probe.sink") == Array(0..<sent))
            #expect(try await harness.count("ledger.dead_letter") == 0)
            #expect(try await harness.waitUntilSent())
            // Numbers follow commits without gaps.
            let gaps = try await harness.count(
                "(select number - lag(number) over (partition by stream_id order by number) as step from ledger.outbox) steps",
                "step <> 1")
            #expect(gaps == 0)
            // The topic itself holds them in order, repetitions apart.
            let topic = try await harness.readAll("retrain-due")
            let first = topic.reduce(into: [Int]()) { seen, number in
                if number > seen.last ?? -1 { seen.append(number) }
            }
            #expect(first == Array(0..<sent))
            #expect(await probe.stop() == 0)
            #expect(await sink.stop() == 0)
        }
    }

    @Test("What a client publishes wakes whoever sends it, and travels once where nobody dies")
    func shared() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let first = try (0..<8).map { try RuntimeHarness.event("ok", $0, key: "key-\($0)") }
            var (isWoken, ticks) = (false, 0)
            for await notice in harness.database.listen(["naura_outbox"]) {
                switch notice {
                case .connected: try await harness.publish(first)
                case .notified(_, let payload): isWoken = payload.isEmpty
                case .tick: ticks += 1
                }
                if isWoken || ticks > 10 { break }
            }
            #expect(isWoken)
            // Each one wakes the sender again, who has the earlier ones behind it.
            for number in 8..<12 {
                try await harness.publish([try RuntimeHarness.event("ok", number, key: "key-\(number)")])
                #expect(try await harness.waitFor(number + 1, in: "probe.effect"))
            }
            #expect(try await harness.waitUntilSent())
            #expect(await probe.stop() == 0)
            #expect(try await harness.readAll("new-data").sorted() == Array(0..<12))
        }
    }

    @Test(
        """
        Many events share a transaction when they can; one that fails is tried alone and never takes its neighbours down
        """)
    func neighbours() async throws {
        try await RuntimeHarness.with { harness in
            // All are there before the worker comes, so that they share a batch.
            try await harness.broker.admin.createTopics(["new-data"], partitions: 4)
            try await harness.send([
                try RuntimeHarness.event("ok", 0), try RuntimeHarness.event("reject", 1),
                try RuntimeHarness.event("ok", 2),
                try RuntimeHarness.event("flaky", 3), try RuntimeHarness.event("fail", 4),
                try RuntimeHarness.event("ok", 5),
            ])
            let probe = try await harness.startReady()
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 5"))
            #expect(try await harness.numbers(in: "probe.effect") == [0, 2, 3, 5])
            #expect(
                try await harness.count("ledger.dead_letter", "code = 'rejected' and message like '%number 1%'") == 1)
            #expect(try await harness.count("ledger.dead_letter", "code = 'failed' and message like '%number 4%'") == 1)
            #expect(await probe.stop() == 0)
        }
    }

    @Test("A broker that comes back empty is refilled from the outbox, and no stage counts an event twice")
    func refill() async throws {
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let sink = try await harness.startReady("sink")
            try await harness.publish((0..<200).map { try RuntimeHarness.event("ok", $0, key: "key\($0 % 7)") })
            #expect(try await harness.waitFor(200, in: "probe.sink"))
            try await harness.broker.restartEmpty()
            // What is published now has no topic to go to before the workers make it again.
            try await harness.publish((200..<210).map { try RuntimeHarness.event("ok", $0, key: "key\($0 % 7)") })
            #expect(try await harness.waitFor(210, in: "probe.sink"))
            let isRefilled = try await eventually {
                let data = Set(try await harness.readAll("new-data").filter { $0 >= 0 })
                let due = Set(try await harness.readAll("retrain-due"))
                return data == Set(0..<210) && due == Set(0..<210)
            }
            #expect(isRefilled)
            #expect(try await harness.count("probe.effect") == 210)
            #expect(try await harness.count("probe.sink") == 210)
            #expect(try await harness.repeated() == 0)
            #expect(try await harness.repeated(in: "probe.sink") == 0)
            #expect(await probe.stop() == 0)
            #expect(await sink.stop() == 0)
        }
    }

    @Test("An event that ends the process is tried alone, its deaths on record, and goes through once it can")
    func deadly() async throws {
        try await RuntimeHarness.with { harness in
            var probe = try await harness.startReady()
            try await harness.send([
                try RuntimeHarness.event("ok", 0), try RuntimeHarness.event("trap", 1),
                try RuntimeHarness.event("ok", 2),
            ])
            for _ in 0..<2 {
                _ = await probe.exitCode()
                probe = try harness.start()
            }
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 2"))
            #expect(try await harness.numbers(in: "probe.effect") == [0, 1, 2])
            #expect(try await harness.count("ledger.dead_letter") == 0)
            #expect(try await harness.count("ledger.attempt") == 0)
            #expect(await probe.stop() == 0)
        }
    }

    @Test("An event or a job that ends each process is a dead letter after twenty deaths, and the others go on")
    func deadlyForGood() async throws {
        try await RuntimeHarness.with { harness in
            var probe = try await harness.startReady()
            try await harness.send([
                try RuntimeHarness.event("ok", 0), try RuntimeHarness.event("trap-always", 1),
                try RuntimeHarness.event("ok", 2),
            ])
            // The first death is on nobody's record; eighteen like the second are left out.
            for death in 1...3 {
                #expect(await probe.exitCode() != 0)
                if death == 2 { try await harness.database.update("update ledger.attempt set deaths = deaths + 18") }
                probe = try harness.start("probe", death == 3 ? ["NAURA_FAILPOINT": "job-claimed=kill"] : [:])
            }
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 2"))
            #expect(try await harness.numbers(in: "probe.effect") == [0, 2])
            #expect(try await harness.count("ledger.attempt") == 0)
            let message = "code = 'killed-worker' and message like '20 %'"
            #expect(try await harness.count("ledger.dead_letter", "stage = 'probe' and \(message)") == 1)

            try await harness.publish([try RuntimeHarness.event("job", 3)])
            #expect(await probe.exitCode() == -SIGKILL)
            // Nineteen more are left out.
            try await harness.database.update("update ledger.job set deaths = deaths + 20 where state = 'running'")
            probe = try harness.start()
            try await harness.publish([try RuntimeHarness.event("job", 4, key: "other")])
            #expect(
                try await harness.waitFor(1, in: "ledger.dead_letter", "stage <> 'probe' and code = 'killed-worker'"))
            #expect(try await harness.waitFor(1, in: "probe.settled", "key = 'other'"))
            #expect(try await harness.count("probe.settled") == 1)
            #expect(await probe.stop() == 0)
        }
    }

    @Test("A try that is on record is settled with its event, wherever in the partition that stands")
    func triedElsewhere() async throws {
        try await RuntimeHarness.with { harness in
            let event = try RuntimeHarness.event("ok", 700)
            // As a worker leaves it that dies; the broker then came back empty, and was refilled with much else first.
            #expect(try await Attempts.begin(InboxKey(event.envelope), for: "probe", in: harness.database) == 1)
            let probe = try await harness.startReady()
            try await harness.send(try (0..<700).map { try RuntimeHarness.event("ok", $0) } + [event])
            #expect(try await harness.waitFor(1, in: "probe.effect", "number = 700"))
            #expect(try await harness.count("ledger.attempt") == 0)
            #expect(await probe.stop() == 0)
        }
    }
}
