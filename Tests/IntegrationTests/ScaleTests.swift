// More instances: shared out, joined and left under load, with jobs that take hours; and programs that end with their job.

import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStage
import NauraTestKit
import Synchronization
import Testing

@Suite(
    "More instances", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct ScaleTests {
    private static let isLong = ProcessInfo.processInfo.environment["NAURA_LONG_TESTS"] != nil

    @Test("with members joining, leaving and killed under load each key's events are handled once, and in order")
    func order() async throws {
        try await RuntimeHarness.with { harness in
            let keys = (0..<12).map { "key-\($0)" }
            let first = try await harness.startReady()
            let isOver = Flag()
            let count = try await withThrowingTaskGroup(of: Int.self) { group in
                group.addTask {
                    var sent = 0
                    while !isOver.isUp {
                        try await harness.send(
                            try (sent..<sent + 120).map {
                                try RuntimeHarness.event("ok", $0, key: keys[$0 % keys.count])
                            })
                        sent += 120
                        // The load's own pace; some 1,000 events a second.
                        try await Task.sleep(for: .milliseconds(100))
                    }
                    return sent
                }
                group.addTask {
                    let second = try await harness.startReady(partitions: 1)
                    let third = try await harness.startReady(partitions: 1)
                    #expect(await second.stop() == 0)
                    let fourth = try await harness.startReady(partitions: 1)
                    await third.kill()
                    #expect(await fourth.stop() == 0)
                    isOver.raise()
                    return 0
                }
                return try await group.reduce(0, +)
            }
            try #require(try await harness.waitFor(count, in: "probe.effect"), "\(first.log.suffix(6_000))")
            for (index, key) in keys.enumerated() {
                #expect(
                    try await harness.numbers(in: "probe.effect", key: key)
                        == Array(stride(from: index, to: count, by: keys.count)))
            }
            #expect(try await harness.repeated() == 0)
            #expect(try await harness.count("(select distinct instance from probe.effect) members") >= 3)
            #expect(await first.stop() == 0)
        }
    }

    @Test("more lease runners than partitions still help: all of them get jobs")
    func runners() async throws {
        try await RuntimeHarness.with { harness in
            let workers = try (0..<6).map { _ in try harness.start("probe", ["NAURA_JOBS": "1"]) }
            #expect(try await harness.waitFor(6, in: "ledger.worker", "state = 'running'"))
            try await harness.publish(
                try (0..<12).map { try RuntimeHarness.event("job", 1_500 + $0, key: "key-\($0)") })
            #expect(try await harness.waitFor(12, in: "probe.settled"))
            #expect(try await harness.count("(select distinct instance from probe.settled) members") == 6)
            for worker in workers { #expect(await worker.stop() == 0) }
        }
    }

    @Test(
        "a job that takes twenty session timeouts and poll intervals causes no rebalance and runs once",
        .enabled(if: isLong, "a slow second of the machine is a rebalance here; make chaos runs it"))
    func longJob() async throws {
        try await RuntimeHarness.with { harness in
            let scaled = ["NAURA_KAFKA_SESSION_TIMEOUT_MS": "1000", "NAURA_KAFKA_POLL_MAX_MS": "1000"]
            let probe = try await harness.startReady("probe", scaled.merging(["NAURA_LEASE_SECONDS": "1"]) { $1 })
            func changes() -> Int {
                probe.log.split(separator: "\n").count {
                    $0.contains("partitions assigned") || $0.contains("partitions revoked")
                }
            }
            let before = changes()
            try await harness.publish([try RuntimeHarness.event("job", 20_000)])
            #expect(try await harness.waitFor(1, in: "probe.claim"))
            var number = 0
            while try await harness.count("probe.settled") == 0 {
                // Events of the same worker are handled meanwhile.
                number += 1
                try await harness.send([try RuntimeHarness.event("ok", number, key: "two")])
                #expect(
                    try await harness.waitFor(
                        1, in: "probe.effect", "key = 'two' and number = \(number)", within: .seconds(5)))
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(number > 20)
            #expect(changes() == before, "\(probe.log.suffix(3_000))")
            #expect(try await harness.count("probe.claim") == 1)
            #expect(try await harness.count("probe.settled") == 1)
            #expect(try await harness.repeated() == 0)
            #expect(await probe.stop() == 0)
        }
    }

    @Test("a program that a job runs hears of its end before it is killed")
    func told() async throws {
        let output = FileManager.default.temporaryDirectory.appending(path: "naura-told-\(UUID().uuidString)")
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: output) } }
        func said() -> String {
            String(decoding: FileManager.default.contents(atPath: output.path) ?? Data(), as: UTF8.self)
        }
        let running = Task {
            try await JobProgram.run(
                "/bin/sh", ["-c", "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.05; done"],
                environment: ["PATH": "/usr/bin:/bin"], output: output.path)
        }
        #expect(try await eventually { said() == "ready\n" })
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
        #expect(said().hasSuffix("told\n"), "\(said())")
    }

    @Test(
        "a program that a job runs ends with it, and all that it has started: cancelled, its worker stopped or killed",
        arguments: ["cancel", "stop", "kill"])
    func programs(end: String) async throws {
        try await RuntimeHarness.with { harness in
            // The number of seconds tells these processes from everybody else's.
            let seconds = Int.random(in: 1_000_000..<2_000_000)
            func left() throws -> Int {
                try FileManager.default.contentsOfDirectory(atPath: "/proc").count { name in
                    guard Int(name) != nil, let line = FileManager.default.contents(atPath: "/proc/\(name)/cmdline")
                    else { return false }
                    return String(decoding: line, as: UTF8.self).contains("\(seconds)")
                }
            }
            let probe = try await harness.startReady()
            try await harness.publish([try RuntimeHarness.event("program", seconds)])
            #expect(try await eventually { try left() >= 4 })
            let start = ContinuousClock.now
            switch end {
            case "cancel":
                let row = try await harness.database.first("select id from ledger.job where kind = 'probe-program'")
                let id = try #require(row).get("id", as: Int.self)
                let outcome = try await harness.database.transaction { transaction in
                    try await Jobs.cancel(id, by: "ada", reason: "enough", in: transaction)
                }
                #expect(outcome == .requested)
                #expect(try await harness.waitFor(1, in: "ledger.job", "state = 'cancelled'"))
            case "stop":
                let code = await probe.stop()
                #expect(code == 0, "ended with \(code)\n\(probe.log.suffix(3_000))")
            default: await probe.kill()
            }
            #expect(try await eventually(within: .seconds(10)) { try left() == 0 })
            // A worker that is told to stop gives what is open fifteen seconds.
            let limit: Duration = end == "stop" ? .seconds(25) : .seconds(5)
            #expect(ContinuousClock.now - start < limit)
            guard probe.isRunning else { return }
            let code = await probe.stop()
            #expect(code == 0, "\(code): \(probe.log.suffix(3_000))")
        }
    }
}

/// Tells one task that another is through.
private final class Flag: Sendable {
    private let state = Mutex(false)
    var isUp: Bool { state.withLock { $0 } }
    func raise() { state.withLock { $0 = true } }
}
