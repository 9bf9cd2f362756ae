// Workers whose clocks are wrong: leases, due times and whose turn it is are the database's to say.

import Foundation
import NauraPostgres
import NauraTestKit
import Testing

@Suite(
    "Clocks an hour off", .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"),
    .enabled(if: ShiftedClock.isAvailable, "needs a C compiler, and Linux"))
struct ClockTests {
    @Test(
        """
        With a worker an hour ahead and one an hour behind, each input has its effects once, each job is claimed once, \
        no lease changes hands, and nothing is a dead letter
        """)
    func hourOff() async throws {
        try await RuntimeHarness.with { harness in
            let ahead = try await harness.startReady("probe", ShiftedClock.environment(seconds: 3_600))
            let behind = try await harness.startReady("probe", partitions: 1, ShiftedClock.environment(seconds: -3_600))
            let sinks = [
                try await harness.startReady("sink", ShiftedClock.environment(seconds: -3_600)),
                try await harness.startReady("sink", partitions: 1, ShiftedClock.environment(seconds: 3_600)),
            ]
            // Nobody's lease runs out from here on: of the shared streams none changes its owner.
            let epochs = "select string_agg(epoch::text, ' ' order by id) as epochs from ledger.stream"
            let sharedEpochs = Query(stringLiteral: epochs + " where name like 'shared/%'")
            #expect(try await harness.waitFor(4, in: "ledger.stream", "name like 'shared/%' and owner is not null"))
            let before = try await harness.database.first(sharedEpochs)?.get("epochs", as: String.self)
            // Jobs that take longer than a lease (2 s), one after another for some keys, beside a stream of events.
            try await harness.publish(
                try (0..<16).map { try RuntimeHarness.event("job", $0 * 1_000_000 + 2_500, key: "key-\($0 % 8)") })
            for piece in 0..<10 {
                try await harness.send(
                    try (0..<40).map { try RuntimeHarness.event("ok", piece * 40 + $0, key: "key-\($0 % 12)") })
                // The pace of the load, not a wait for something.
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(try await harness.waitFor(16, in: "probe.settled"))
            #expect(try await harness.waitFor(416 + 16, in: "probe.sink"))
            #expect(try await harness.waitUntilSent())

            #expect(try await harness.count("probe.effect") == 416)
            #expect(try await harness.repeated() == 0)
            #expect(try await harness.repeated(in: "probe.sink") == 0)
            #expect(try await harness.count("probe.claim") == 16, "a job was claimed again while it ran")
            #expect(try await harness.count("probe.settled") == 16)
            #expect(try await harness.count("ledger.job", "tries > 0 or deaths > 0") == 0)
            #expect(try await harness.count("ledger.dead_letter") == 0)
            #expect(try await harness.database.first(sharedEpochs)?.get("epochs", as: String.self) == before)
            // Both did their part, by their own clocks: what they say bears those times.
            #expect(try await harness.count("(select distinct instance from probe.effect) members") == 2)
            #expect(try await harness.count("(select distinct instance from probe.claim) members") == 2)
            let said = "type = 'retrain-due' and time"
            #expect(try await harness.count("ledger.outbox", "\(said) > now() + interval '50 minutes'") > 0)
            #expect(try await harness.count("ledger.outbox", "\(said) < now() - interval '50 minutes'") > 0)
            #expect(try await harness.count("ledger.worker", "seen_at between now() - interval '9 s' and now()") == 4)
            for worker in [ahead, behind] + sinks {
                for trouble in ["another runner has the job", "the lease could not be renewed"] {
                    #expect(!worker.log.contains(trouble), "\(worker.log.suffix(3_000))")
                }
                #expect(await worker.stop() == 0)
            }
        }
    }
}
