// Worse than death: processes that freeze and come back, servers that die again and again, connections that are cut in
// mid-answer. Each test ends with the same account as the deaths (ChaosLane.settle).

import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraTestKit
import Testing

@Suite(
    "Worse than death", .serialized, .timeLimit(.minutes(10)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct FaultTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let seed = environment["NAURA_CHAOS_SEED"].flatMap(UInt64.init) ?? UInt64.random(in: 1...9_999)
    /// How often a fault is repeated; `make chaos` asks for more.
    private static let repetitions = environment["NAURA_CHAOS_REPETITIONS"].flatMap(Int.init) ?? 3

    // MARK: - Zombies

    @Test("A worker that was frozen with a batch open, and comes back after its partition has gone, writes nothing")
    func frozenPartition() async throws {
        try await RuntimeHarness.with { harness in
            let zombie = try await harness.startReady("probe", ["NAURA_FAILPOINT": "batch-opened=stop@3"])
            let sent = try await sendUntilStopped(zombie, harness)
            try await harness.send((sent..<sent + 60).map { try RuntimeHarness.event("ok", $0) })
            let successor = try harness.start()
            #expect(try await harness.waitFor(sent + 60, in: "probe.effect"))
            zombie.thaw()
            #expect(try await eventually { zombie.log.contains("\"lost\":\"true\"") })
            try await harness.send((sent + 60..<sent + 120).map { try RuntimeHarness.event("ok", $0) })
            #expect(try await harness.waitFor(sent + 120, in: "probe.effect"))
            #expect(try await harness.count("probe.effect") == sent + 120)
            #expect(try await harness.repeated() == 0)
            #expect(await successor.stop() == 0, "\(successor.log.suffix(3_000))")
            #expect(await zombie.stop() == 0, "\(zombie.log.suffix(3_000))")
        }
    }

    @Test("A batch that is committed after another has taken its stream is refused, and counted")
    func refusedBatch() async throws {
        try await RuntimeHarness.with { harness in
            let zombie = try await harness.startReady("probe", ["NAURA_FAILPOINT": "batch-opened=stop@3"])
            let sent = try await sendUntilStopped(zombie, harness)
            // As a successor does, and before the group lets go of a frozen member.
            for partition in 0..<Int32(4) {
                _ = try await Streams.take(
                    Streams.name(stage: "probe", topic: "new-data", partition: partition), owner: "another",
                    in: harness.database)
            }
            zombie.thaw()
            #expect(try await refused(by: zombie, "probe", harness) > 0, "\(zombie.log.suffix(3_000))")
            // It takes the stream again, since its partition is its own, and goes on.
            #expect(try await harness.waitFor(sent, in: "probe.effect"))
            #expect(try await harness.repeated() == 0)
            #expect(await zombie.stop() == 0, "\(zombie.log.suffix(3_000))")
        }
    }

    /// Sends event after event until `worker` has frozen itself; says how many.
    private func sendUntilStopped(_ worker: WorkerProcess, _ harness: RuntimeHarness) async throws -> Int {
        var sent = 0
        while sent < 200, !worker.log.contains("failpoint batch-opened") {
            try await harness.send([try RuntimeHarness.event("ok", sent)])
            sent += 1
            _ = try await eventually(within: .milliseconds(100)) { worker.log.contains("failpoint batch-opened") }
        }
        return sent
    }

    @Test("A runner that was frozen past its lease settles nothing, and is counted")
    func frozenLease() async throws {
        try await RuntimeHarness.with { harness in
            let zombie = try await harness.startReady("probe", ["NAURA_FAILPOINT": "job-step-committed=stop"])
            try await harness.publish([try RuntimeHarness.event("job", 1)])
            #expect(try await eventually { zombie.log.contains("failpoint job-step-committed") })
            let successor = try harness.start()
            #expect(try await harness.waitFor(1, in: "probe.settled"))
            zombie.thaw()
            #expect(try await refused(by: zombie, "probe-job", harness) > 0, "\(zombie.log.suffix(3_000))")
            #expect(try await harness.count("probe.settled") == 1)
            #expect(try await harness.count("ledger.outbox", "source = '/naura/probe-job'") == 1)
            #expect(await successor.stop() == 0, "\(successor.log.suffix(3_000))")
            #expect(await zombie.stop() == 0, "\(zombie.log.suffix(3_000))")
        }
    }

    /// Waits until `worker` counts a refused write of `stage`; says how many.
    private func refused(by worker: WorkerProcess, _ stage: String, _ harness: RuntimeHarness) async throws -> Double {
        let row = try await harness.database.first(
            "select address from ledger.worker where pid = \(Int(worker.pid)) order by started_at desc limit 1")
        let address = try row?.get("address", as: String.self) ?? ""
        var count = 0.0
        _ = try await eventually(within: .seconds(30)) {
            guard worker.isRunning else { return true }
            let answer = try await HTTPClient.shared.execute(
                HTTPClientRequest(url: "http://\(address)/metrics"), timeout: .seconds(10))
            let text = String(buffer: try await answer.body.collect(upTo: 1 << 20))
            let line = text.split(separator: "\n").first {
                $0.hasPrefix("naura_zombie_writes_refused_total") && $0.contains("\"\(stage)\"")
            }
            count = line.flatMap { $0.split(separator: " ").last.flatMap { Double($0) } } ?? 0
            return count > 0
        }
        return count
    }

    // MARK: - Servers

    @Test("A database that is stopped without warning, again and again under load, costs nothing but time")
    func databaseAgainAndAgain() async throws {
        try await withCluster { cluster, url in
            try await RuntimeHarness.with(databaseURL: url) { harness in
                var lane = ChaosLane(harness, source: .broker, random: SplitMix64(seed: Self.seed))
                try lane.begin()
                for _ in 0..<Self.repetitions {
                    try await lane.load(20)
                    // SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, no farewell.
                    let pid = try #require(cluster.processID)
                    kill(pid, SIGQUIT)
                    #expect(try await eventually { cluster.processID == nil })
                    try await lane.load(5)
                    _ = try await cluster.ensureRunning()
                }
                try await lane.load(10)
                try await Self.account(&lane)
            }
        }
    }

    // MARK: - Connections

    @Test("Connections to the database that are cut in mid-answer, delayed and dropped cost nothing but time")
    func databaseConnections() async throws {
        try await FaultyProxy.withDatabase { proxy, url, address in
            try await RuntimeHarness.with(databaseURL: url) { harness in
                var lane = ChaosLane(
                    harness, environment: ["NAURA_DATABASE_URL": address], random: SplitMix64(seed: Self.seed))
                try lane.begin()
                try await Self.trouble(proxy, &lane)
                print("chaos: \(proxy.cuts) answers of the database were cut, NAURA_CHAOS_SEED=\(Self.seed)")
                try await Self.account(&lane)
            }
        }
    }

    @Test("Connections to the broker that are cut in mid-answer, delayed and dropped cost nothing but time")
    func brokerConnections() async throws {
        let proxy = try FaultyProxy()
        defer { proxy.end() }
        try await TestDatabase.withURL { url in
            try await RuntimeHarness.with(databaseURL: url, advertisedPort: proxy.port) { harness in
                proxy.lead(to: Int(harness.broker.brokers.split(separator: ":")[1]) ?? 0)
                var lane = ChaosLane(
                    harness, source: .outbox, environment: ["NAURA_KAFKA_BROKERS": "127.0.0.1:\(proxy.port)"],
                    random: SplitMix64(seed: Self.seed))
                try lane.begin()
                try await Self.trouble(proxy, &lane)
                print("chaos: \(proxy.cuts) answers of the broker were cut, NAURA_CHAOS_SEED=\(Self.seed)")
                try await Self.account(&lane)
            }
        }
    }

    /// Cuts, delays, holds and drops, with load in between.
    private static func trouble(_ proxy: FaultyProxy, _ lane: inout ChaosLane) async throws {
        try await lane.load(10)
        var random = SplitMix64(seed: seed)
        for _ in 0..<repetitions {
            for limit in [Int.random(in: 1...200, using: &random), .random(in: 500...8_000, using: &random)] {
                proxy.set(.cut(afterBytes: limit))
                proxy.cutAll()
                try await lane.load(8)
            }
            proxy.set(.delay(milliseconds: 30))
            try await lane.load(8)
            proxy.set(.hold)
            try await lane.load(8)
            proxy.set(.pass)
            proxy.cutAll()
            try await lane.load(8)
        }
    }

    // MARK: - Shared

    private static func account(_ lane: inout ChaosLane) async throws {
        try await lane.settle(mayDie: false)
        for problem in lane.problems { Issue.record("NAURA_CHAOS_SEED=\(seed): \(problem)") }
    }

    /// A cluster of the test's own, with all tables, synced to the disk as a real one.
    private func withCluster(_ body: (LocalCluster, String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-fault-\(UUID().uuidString)")
        let cluster = LocalCluster(directory: folder, databaseName: "naura", logger: .init(label: "naura.tests"))
        let url = try await cluster.ensureRunning().absoluteString
        let migrating = Database(
            url: url, connectionsMax: 1, applicationName: "naura test", logger: .init(label: "naura.tests"))
        _ = try await Migrator(files: TestDatabase.migrations).run(on: migrating)
        await migrating.close()
        do {
            try await body(cluster, url)
        } catch {
            try await cluster.stop()
            throw error
        }
        try await cluster.stop()
        try FileManager.default.removeItem(at: folder)
    }
}
