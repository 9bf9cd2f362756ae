// Programs of another commit on the same topics and tables: what they are to each other, and a whole upgrade under load.
// `make upgrade FROM=COMMIT` builds an earlier one and names its folder in NAURA_UPGRADE_FROM.

import Foundation
import NauraLedger
import NauraPostgres
import NauraRules
import NauraTestKit
import Testing

@Suite(
    "Upgrades", .serialized, .timeLimit(.minutes(8)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct UpgradeTests {
    private static let earlier = ProcessInfo.processInfo.environment["NAURA_UPGRADE_FROM"].map { URL(filePath: $0) }

    @Test("the ledger names the newest migration there is")
    func newest() throws {
        let numbers = TestDatabase.migrations.compactMap { file in
            file.name.split(separator: "/").last.flatMap { Int($0.dropFirst().prefix(4)) }
        }
        #expect(
            numbers.max() == LedgerTables.newestMigration,
            "a program that does not know its newest migration starts on tables that it cannot work with")
    }

    @Test(
        "a worker waits for tables that are older than it, works on newer ones, and refuses those that are not for it")
    func standing() async throws {
        try await RuntimeHarness.with { harness in
            let database = harness.database
            let newest = LedgerTables.newestMigration
            #expect(try await LedgerTables.standing(of: database) == .fit)
            try await database.update(
                "insert into public.naura_migration (name, sha256) values ('m9000-of-a-newer-program.sql', '')")
            try await harness.startReady().kill()
            try await database.update("update ledger.compatibility set oldest_migration = 9000")
            #expect(try await LedgerTables.standing(of: database) == .tooNew(oldest: 9_000))
            let refused = try harness.start()
            #expect(await refused.exitCode() == 1)
            #expect(refused.log.contains("tables-too-new: the database wants workers that know migration 9000"))

            try await database.update("update ledger.compatibility set oldest_migration = 0")
            let kept = Query(
                stringLiteral: "delete from public.naura_migration where name >= 'm\(String(format: "%04d", newest))'")
            try await database.update(kept)
            #expect(try await LedgerTables.standing(of: database) == .missing(upTo: newest))
            let waiting = try harness.start()
            #expect(try await eventually { waiting.log.contains("waiting for the tables") })
            #expect(try await harness.count("ledger.worker", "pid = \(waiting.pid)") == 0)
            try await database.update(
                Query(
                    stringLiteral: """
                        insert into public.naura_migration (name, sha256)
                        values ('m\(String(format: "%04d", newest))-made-meanwhile.sql', '')
                        """))
            #expect(try await harness.waitFor(1, in: "ledger.worker", "pid = \(waiting.pid) and state = 'running'"))
            #expect(await waiting.stop() == 0)
        }
    }

    @Test(
        """
        Workers of an earlier commit and of this one, side by side under load, migrated beneath, stopped, killed, rolled \
        back and replaced, give each input its effects once
        """, .enabled(if: earlier != nil, "needs NAURA_UPGRADE_FROM, the programs of an earlier commit; make upgrade"))
    func sideBySide() async throws {
        let earlier = try #require(Self.earlier)
        try await TestDatabase.withURL(isEmpty: true) { url in
            try await Self.migrate(url, by: earlier)
            try await RuntimeHarness.with(databaseURL: url) { harness in
                var lane = ChaosLane(
                    harness, source: .broker, random: SplitMix64(seed: UInt64.random(in: 1...9_999)))
                lane.programs = earlier
                try lane.begin()
                try await lane.load(40)
                // Beneath workers that know nothing of it.
                try await Self.migrate(url, by: nil)
                // Tables first, then clients: this one knows the new tables alone.
                lane.source = .both
                try await lane.load(40)
                // New ones beside them: each takes a part of the partitions, and any job.
                let joined = try [harness.start("probe"), harness.start("sink")]
                #expect(
                    try await harness.waitFor(
                        2, in: "ledger.worker", "pid in (\(joined[0].pid), \(joined[1].pid)) and assignments <> '[]'"))
                try await lane.load(60)
                // From one to the other and back: by SIGTERM, and by death in the midst of it.
                for turn in 0..<4 {
                    lane.programs = turn % 2 == 0 ? nil : earlier
                    try await lane.replace(.probe, isKilled: turn < 2)
                    try await lane.load(20)
                    try await lane.replace(.sink, isKilled: turn >= 2)
                    try await lane.load(20)
                }
                // Rolled back: the earlier ones alone, on the new tables.
                for worker in joined { #expect(await worker.stop() == 0, "\(worker.log.suffix(2_000))") }
                try await lane.load(40)
                lane.programs = nil
                try await lane.replace(.probe, isKilled: true)
                try await lane.replace(.sink, isKilled: false)
                try await lane.load(20)
                try await lane.settle(mayDie: false)
                for problem in lane.problems { Issue.record("\(problem)") }
            }
        }
    }

    /// Has the programs of `folder` make the tables that they know.
    private static func migrate(_ url: String, by folder: URL?) async throws {
        let process = try WorkerProcess(
            "probe-worker", arguments: ["migrate"], environment: ["NAURA_DATABASE_URL": url], from: folder)
        #expect(await process.exitCode() == 0, "\(process.log)")
    }
}
