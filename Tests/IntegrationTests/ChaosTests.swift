// `kill -9` at every failpoint of the runtime. `make test` takes one round of each; `make chaos` twenty
// (`NAURA_CHAOS_SEEDS`). `NAURA_CHAOS_SEED` repeats the order and the load of a run; the machine's own timing stays.

import Foundation
import Logging
import NauraFailpoints
import NauraPostgres
import NauraRules
import NauraTestKit
import Testing

@Suite(
    "Death at every moment", .serialized, .timeLimit(.minutes(60)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct ChaosTests {
    private static let environment = ProcessInfo.processInfo.environment
    static let seeds = environment["NAURA_CHAOS_SEEDS"].flatMap(Int.init) ?? 1
    static let seed = environment["NAURA_CHAOS_SEED"].flatMap(UInt64.init) ?? UInt64.random(in: 1...9_999)
    /// Chains of processes side by side: mostly they wait for groups and leases.
    private static let lanes = environment["NAURA_CHAOS_LANES"].flatMap(Int.init) ?? 4

    @Test(
        """
        Killed at each failpoint, under load with duplicates and reorderings, the runtime gives each input one set of \
        effects and one set of following events, and leaves no lease behind
        """)
    func deaths() async throws {
        var random = SplitMix64(seed: Self.seed)
        let rounds = ChaosPlan.rounds(seeds: Self.seeds, random: &random)
        let only = Self.environment["NAURA_CHAOS_ONLY"]
        let chosen = rounds.filter { only == nil || "\($0)".contains(only ?? "") }
        print("chaos: \(chosen.count) deaths, NAURA_CHAOS_SEED=\(Self.seed) NAURA_CHAOS_SEEDS=\(Self.seeds)")
        let (empty, usual) = (
            chosen.filter { $0.trigger == .emptyBroker }, chosen.filter { $0.trigger != .emptyBroker }
        )
        var parts = [(rounds: empty, usesOutboxOnly: true)]
        for lane in 0..<Self.lanes {
            parts.append((usual.enumerated().filter { $0.offset % Self.lanes == lane }.map(\.element), false))
        }
        let start = ContinuousClock.now
        let deaths = try await withThrowingTaskGroup(of: (Int, [String]).self) { group in
            for (place, part) in parts.enumerated() where !part.rounds.isEmpty {
                let seed = Self.seed &+ UInt64(place)
                group.addTask { try await Self.play(part.rounds, part.usesOutboxOnly, seed: seed) }
            }
            var deaths = 0
            for try await (count, problems) in group {
                deaths += count
                for problem in problems { Issue.record("\(problem)") }
            }
            return deaths
        }
        let points = Set(chosen.map { "\($0.role) \($0.failpoint)" }).count
        print("chaos: \(deaths) deaths at \(points) points (failpoint and process) in \(ContinuousClock.now - start)")
        #expect(deaths >= chosen.count)
    }

    private static func play(_ rounds: [ChaosRound], _ usesOutboxOnly: Bool, seed: UInt64) async throws
        -> (Int, [String])
    {
        var result = (0, [String]())
        try await RuntimeHarness.with { harness in
            var lane = ChaosLane(
                harness, source: usesOutboxOnly ? .outbox : .both, random: SplitMix64(seed: seed))
            let start = ContinuousClock.now
            for (place, round) in rounds.enumerated() {
                try await lane.play(round)
                if place % 20 == 19 {
                    let progress = "lane \(seed): round \(place + 1) of \(rounds.count), \(try await lane.progress())"
                    FileHandle.standardError.write(
                        Data("chaos: \(progress), \((ContinuousClock.now - start).components.seconds) s\n".utf8))
                }
            }
            try await lane.settle(mayDie: true)
            result = (lane.deaths, lane.problems)
        }
        return result
    }

    @Test("Killed in the midst of migrating, the next one finds all tables or none, and makes them", arguments: 1...3)
    func migration(number: Int) async throws {
        try await TestDatabase.withURL { url in
            let database = Database(
                url: url, connectionsMax: 1, applicationName: "naura test", logger: .init(label: "naura.tests"))
            let name = "naura_test_empty_\(UUID().uuidString.lowercased().prefix(8))"
            try await database.update(Query(stringLiteral: "create database \(name) template template0"))
            let empty = url.replacing(/\/naura_test_\w+/, with: "/\(name)")
            for failpoint in [Failpoint.migrationStepRun, .migrated] {
                let armed = try WorkerProcess(
                    "probe-worker", arguments: ["migrate"],
                    environment: [
                        "NAURA_DATABASE_URL": empty,
                        "NAURA_FAILPOINT": "\(failpoint.rawValue)=kill@\(failpoint == .migrated ? 1 : number)",
                    ])
                #expect(await armed.exitCode() == -SIGKILL, "\(failpoint): \(armed.log)")
            }
            let last = try WorkerProcess(
                "probe-worker", arguments: ["migrate"], environment: ["NAURA_DATABASE_URL": empty])
            #expect(await last.exitCode() == 0, "\(last.log)")
            try await database.update(Query(stringLiteral: "drop database \(name) with (force)"))
            await database.close()
        }
    }
}
