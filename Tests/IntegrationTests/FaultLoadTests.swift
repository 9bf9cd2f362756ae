// A database that stands still under load, a disk that is full, and workers that are replaced one after another.

import Foundation
import Logging
import NauraData
import NauraEvents
import NauraPostgres
import NauraRules
import NauraTestKit
import Synchronization
import Testing

@Suite(
    "Standing still, and being replaced", .serialized, .timeLimit(.minutes(10)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct FaultLoadTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let waitingEvents = environment["NAURA_CHAOS_EVENTS"].flatMap(Int.init) ?? 20_000
    private static let holdSeconds = environment["NAURA_CHAOS_HOLD_SECONDS"].flatMap(Double.init) ?? 5

    @Test(
        "While the database stands still and events wait, a worker's memory stays under 150 MB, and all is handled after"
    )
    func backPressure() async throws {
        try await FaultyProxy.withDatabase { proxy, url, address in
            try await RuntimeHarness.with(databaseURL: url) { harness in
                let (probe, sink) = (
                    try await harness.startReady("probe", ["NAURA_DATABASE_URL": address]),
                    try await harness.startReady("sink", ["NAURA_DATABASE_URL": address])
                )
                try await harness.send((0..<100).map { try RuntimeHarness.event("ok", $0, key: "key\($0 % 7)") })
                #expect(try await harness.waitFor(100, in: "probe.sink"))
                proxy.set(.hold)
                let start = ContinuousClock.now
                for first in stride(from: 100, to: Self.waitingEvents, by: 500) {
                    try await harness.send(
                        (first..<min(first + 500, Self.waitingEvents)).map {
                            try RuntimeHarness.event("ok", $0, key: "key\($0 % 7)")
                        })
                }
                // The minute of the promise is a time, not a condition.
                try await Task.sleep(until: start + .seconds(Self.holdSeconds), clock: .continuous)
                proxy.set(.pass)
                #expect(try await harness.waitFor(Self.waitingEvents, in: "probe.sink", within: .seconds(180)))
                let (memory, sinkMemory) = (try peakMegabytes(of: probe), try peakMegabytes(of: sink))
                print(
                    "chaos: \(Self.waitingEvents) events waited \(ContinuousClock.now - start); probe \(memory) MB, sink \(sinkMemory) MB"
                )
                #expect(memory < 150 && sinkMemory < 150)
                #expect(try await harness.count("probe.effect") == Self.waitingEvents)
                #expect(try await harness.count("probe.sink") == Self.waitingEvents)
                #expect(try await harness.repeated() == 0)
                #expect(await probe.stop() == 0)
                #expect(await sink.stop() == 0)
            }
        }
    }

    /// The most memory that `worker` has had resident so far.
    private func peakMegabytes(of worker: WorkerProcess) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(worker.pid)/status", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return (Int(line.split(whereSeparator: { !$0.isNumber }).first ?? "") ?? 0) / 1_024
    }

    @Test(
        """
        Workers replaced one after another under load lose nothing, double nothing and end with 0; the others give \
        partitions away at most once for each that comes
        """)
    func rollingRestart() async throws {
        try await RuntimeHarness.with { harness in
            var workers = [
                try await harness.startReady("probe"), try await harness.startReady("sink"),
                try await harness.startReady("probe", partitions: 2),
                try await harness.startReady("sink", partitions: 2),
            ]
            // Not cancelled in the end: nobody would know what of the last twenty has gone.
            let isOver = Mutex(false)
            let load = Task {
                var number = 0
                while !isOver.withLock({ $0 }) {
                    try await harness.send(
                        (number..<(number + 20)).map { try RuntimeHarness.event("ok", $0, key: "key\($0 % 7)") })
                    number += 20
                    try await Task.sleep(for: .milliseconds(40))
                }
                return number
            }
            var codes: [Int32] = []
            var givenAway = 0
            for place in workers.indices {
                let old = workers[place]
                let role = place % 2 == 0 ? "probe" : "sink"
                let peer = workers[(place + 2) % 4]
                let before = revocations(of: peer)
                codes.append(await old.stop())
                if codes.last != 0 { Issue.record("\(role) ended with \(codes.last ?? 0):\n\(old.log.suffix(4_000))") }
                workers[place] = try await harness.startReady(role, partitions: 2)
                givenAway = max(givenAway, revocations(of: peer) - before)
            }
            isOver.withLock { $0 = true }
            let sent = try await load.value
            #expect(try await harness.waitFor(sent, in: "probe.sink"))
            #expect(try await harness.count("probe.effect") == sent)
            #expect(try await harness.count("probe.sink") == sent)
            #expect(try await harness.repeated() == 0)
            #expect(try await harness.repeated(in: "probe.sink") == 0)
            print("chaos: \(codes.count) workers replaced under \(sent) events; at most \(givenAway) revocations each")
            #expect(givenAway <= 1)
            for worker in workers { #expect(await worker.stop() == 0, "\(worker.log.suffix(4_000))") }
        }
    }

    /// How often `worker` has given partitions away.
    private func revocations(of worker: WorkerProcess) -> Int {
        worker.log.split(separator: "\n").count { $0.contains("partitions revoked") }
    }

    @Test(
        "A worker that is stopped while a job runs longer than anybody waits gives the job back, also when it dies at that"
    )
    func handingBack() async throws {
        try await RuntimeHarness.with { harness in
            let dying = try await harness.startReady("probe", ["NAURA_FAILPOINT": "job-handing-back=kill"])
            try await harness.publish([try RuntimeHarness.event("job", 18_000)])
            #expect(try await harness.waitFor(1, in: "probe.claim"))
            #expect(await dying.stop() == -SIGKILL, "\(dying.log.suffix(3_000))")
            let successor = try harness.start()
            #expect(try await harness.waitFor(1, in: "probe.settled"))
            #expect(try await harness.count("probe.settled") == 1)
            #expect(await successor.stop() == 0)
        }
    }

    // MARK: - The disk

    private static let canMount = getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/mount")

    @Test(
        "A full disk under the artifact store is a passing fault that leaves nothing behind",
        .enabled(if: canMount, "needs root, to mount a small file system"))
    func fullArtifactStore() async throws {
        try await withSmallDisk(megabytes: 2) { folder in
            let store = try ArtifactStore(directory: "\(folder)/artifacts")
            let kept = try store.put(Array(repeating: 1, count: 1_000))
            do throws(DataFault) {
                _ = try store.put(Array(repeating: 7, count: 4 << 20))
                Issue.record("four megabytes went onto a disk of two")
            } catch {
                #expect(error.isTransient && error.code == .storage, "\(error)")
            }
            let files = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { path in
                var isFolder: ObjCBool = false
                return FileManager.default.fileExists(atPath: "\(folder)/\(path)", isDirectory: &isFolder)
                    && !isFolder.boolValue
            }
            #expect(files.count == 1, "\(files)")
            #expect(try store.bytes(kept).count == 1_000)
            // Room again: the same call succeeds.
            #expect(try store.bytes(try store.put(Array(repeating: 8, count: 100_000))).count == 100_000)
        }
    }

    @Test(
        "A full disk under the database is waited for: nothing becomes a dead letter, and all is handled once there is room",
        .enabled(if: canMount, "needs root, to mount a small file system"))
    func fullDatabase() async throws {
        try await withSmallDisk(megabytes: 400) { folder in
            let cluster = LocalCluster(
                directory: URL(filePath: "\(folder)/cluster"), databaseName: "naura",
                settings: ["max_wal_size": "64MB", "min_wal_size": "32MB"], logger: .init(label: "naura.tests"))
            let url = try await cluster.ensureRunning().absoluteString
            let migrating = Database(
                url: url, connectionsMax: 1, applicationName: "naura test", logger: .init(label: "naura.tests"))
            _ = try await Migrator(files: TestDatabase.migrations).run(on: migrating)
            await migrating.close()
            try await RuntimeHarness.with(databaseURL: url) { harness in
                var lane = ChaosLane(harness, source: .broker, random: SplitMix64(seed: 1))
                try lane.begin()
                try await lane.load(10)
                try fill("\(folder)/ballast")
                // PostgreSQL may refuse, or give up and need a start of its own, when not even its log has room.
                try await lane.load(60)
                try FileManager.default.removeItem(atPath: "\(folder)/ballast")
                _ = try await cluster.ensureRunning()
                try await lane.load(10)
                try await lane.settle(mayDie: false)
                for problem in lane.problems { Issue.record("\(problem)") }
            }
            try await cluster.stop()
        }
    }

    /// Takes all the room there is.
    private func fill(_ path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        for size in [1 << 16, 1 << 10, 1] { while write(descriptor, zeros, size) > 0 {} }
    }

    private func withSmallDisk(megabytes: Int, _ body: (String) async throws -> Void) async throws {
        let folder = "/var/tmp/naura-disk-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try run("/usr/bin/mount", ["-t", "tmpfs", "-o", "size=\(megabytes)m,mode=755", "tmpfs", folder])
        do {
            try await body(folder)
        } catch {
            try run("/usr/bin/umount", ["-l", folder])
            throw error
        }
        try run("/usr/bin/umount", ["-l", folder])
        try FileManager.default.removeItem(atPath: folder)
    }

    private func run(_ program: String, _ arguments: [String]) throws {
        let process = try Process.run(URL(filePath: program), arguments: arguments)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw HarnessError(description: "\(program) \(arguments) ended with \(process.terminationStatus)")
        }
    }
}
