// What becomes of jobs that fail, hang, lose their lease or are cancelled: faults against policies.

import Foundation
import Logging
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraTestKit
import ServiceLifecycle
import Synchronization
import Testing

@testable import NauraStage

/// Does what its arguments say, and notes what it has given up.
private struct Scripted: JobRunner {
    struct Arguments: Codable, Sendable {
        let fault: String
    }

    static let kind: JobKind = "scripted"
    static let policy = JobPolicy(
        timeout: .milliseconds(500), triesMax: 3, backOffFirst: .milliseconds(40), backOffMax: .milliseconds(200))

    let database: Database
    /// Attempts so far, by what the job is about.
    let attempts: Attempted

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let attempt = attempts.add(job.about)
        switch job.arguments.fault {
        case "none": break
        case "flaky": if attempt < 3 { throw ScriptedError(description: "not yet") }
        case "error": throw ScriptedError(description: "it fails each time")
        case "rejection": throw Rejection("no retry can help", code: "hopeless")
        case "transient":
            if attempt < 8 { throw PostgresError(.connectionLost, "the connection is cut", isTransient: true) }
        case "hang": try await Task.sleep(for: .seconds(600))
        case "deaf":
            // Cancellation reaches nobody here; what follows is refused.
            await withCheckedContinuation { continuation in attempts.keep(continuation) }
        case "unsettled": return
        case "stolen":
            if attempt == 1 {
                try await database.update(
                    "update ledger.job set epoch = epoch + 1, lease_until = now() where id = \(job.id)")
            }
        case "wait": try await Task.sleep(for: .seconds(600))
        default: throw Rejection("no fault is called \(job.arguments.fault)")
        }
        try await lease.settle { _ in }
    }

    func abandon(_ job: Job<Arguments>, because failure: JobFailure, in work: borrowing Work) async throws {
        try await work.transaction.execute(
            "insert into abandoned (about, code, message) values (\(job.about), \(failure.code), \(failure.message))")
    }
}

private struct ScriptedError: Error, CustomStringConvertible {
    let description: String
}

/// Attempts, and the deaf ones among them, let go when the test is over.
private final class Attempted: Sendable {
    private let state = Mutex<(counts: [String: Int], deaf: [CheckedContinuation<Void, Never>])>(([:], []))

    func add(_ about: String) -> Int {
        state.withLock {
            $0.counts[about, default: 0] += 1
            return $0.counts[about] ?? 0
        }
    }
    func count(_ about: String) -> Int { state.withLock { $0.counts[about] ?? 0 } }
    func keep(_ continuation: CheckedContinuation<Void, Never>) { state.withLock { $0.deaf.append(continuation) } }
    func letGo() {
        for continuation in state.withLock({ state in
            defer { state.deaf = [] }
            return state.deaf
        }) { continuation.resume() }
    }
}

/// How one job ended.
private struct Ended: Equatable, CustomStringConvertible {
    var state: String
    var tries: Int
    var code: String?
    var letters: Int
    var abandoned: Int

    var description: String {
        "\(state) after \(tries) failed tries, \(code ?? "no code"), \(letters) letters, \(abandoned) given up"
    }
}

@Suite("Jobs that go wrong", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"), .serialized)
struct JobRunnerTests {
    // MARK: - The stand

    private struct Stand {
        let database: Database
        let attempts: Attempted
        let metrics: Metrics

        func file(_ fault: String, _ about: String, key: String? = nil, priority: JobPriority = .retrain) async throws {
            try await database.transaction {
                try await Jobs.file(
                    [
                        JobRequest(
                            kind: Scripted.kind, key: key ?? about, about: about,
                            arguments: "{\"fault\": \"\(fault)\"}", priority: priority)
                    ], in: $0)
            }
        }

        func ended(_ about: String) async throws -> Ended? {
            let row = try await database.first(
                """
                select state, tries, failure_code,
                    (select count(*) from ledger.dead_letter where headers->>'about' = \(about)) as letters,
                    (select count(*) from abandoned where about = \(about)) as given_up
                from ledger.job where about = \(about) and state not in ('waiting', 'running')
                """)
            return try row.map {
                Ended(
                    state: try $0.get("state"), tries: try $0.get("tries"), code: try $0.get("failure_code"),
                    letters: try $0.get("letters"), abandoned: try $0.get("given_up"))
            }
        }

        func waitForEnd(_ about: String, within limit: Duration = .seconds(20)) async throws -> Ended? {
            _ = try await eventually(within: limit) { try await ended(about) != nil }
            return try await ended(about)
        }

        func state(_ about: String) async throws -> String? {
            try await database.first("select state from ledger.job where about = \(about)")?.get("state")
        }

        func id(_ about: String) async throws -> Int {
            try #require(try await database.first("select id from ledger.job where about = \(about)")).get("id")
        }

        func cancel(_ about: String) async throws -> CancelOutcome {
            let id = try await id(about)
            return try await database.transaction { transaction in
                try await Jobs.cancel(id, by: "ada", reason: "a wrong file", in: transaction)
            }
        }
    }

    /// Runs a runner loop beside `body`.
    private static func with(
        jobsMax: Int = 2, leaseSeconds: Double = 3, overrides: PolicyOverrides = PolicyOverrides(),
        _ body: @escaping @Sendable (Stand) async throws -> Void
    ) async throws {
        try await TestDatabase.with(connectionsMax: 6) { database in
            try await database.update("create table abandoned (about text, code text, message text)")
            let (attempts, metrics) = (Attempted(), Metrics())
            let wakeups = Wakeups(database: database, channels: ["naura_job", Jobs.cancelChannel])
            var logger = Logger(label: "naura.tests")
            logger.logLevel = .critical
            let loop = RunnerLoop(
                instance: "test", runners: [RunnerBox(runner: Scripted(database: database, attempts: attempts))],
                database: database, wakeups: wakeups, metrics: metrics, logger: logger,
                settings: RunnerSettings(
                    jobsMax: jobsMax, leaseSeconds: leaseSeconds, grace: .milliseconds(300), overrides: overrides))
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await wakeups.run()
                    return false
                }
                group.addTask {
                    try await loop.run()
                    return false
                }
                group.addTask {
                    defer { attempts.letGo() }
                    try await body(Stand(database: database, attempts: attempts, metrics: metrics))
                    return true
                }
                while let isBody = try await group.next(), !isBody {}
                group.cancelAll()
            }
        }
    }

    // MARK: - Faults and policies

    private static let faults = [
        "none", "flaky", "error", "rejection", "transient", "hang", "deaf", "unsettled", "stolen",
    ]

    /// What is to become of each fault when `tries` are allowed.
    private static func expected(_ fault: String, tries: Int) -> Ended {
        func failed(_ code: String, after tries: Int) -> Ended {
            Ended(state: "failed", tries: tries - 1, code: code, letters: 1, abandoned: 1)
        }
        let done = Ended(state: "done", tries: 0, code: nil, letters: 0, abandoned: 0)
        switch fault {
        case "flaky" where tries >= 3: return Ended(state: "done", tries: 2, code: nil, letters: 0, abandoned: 0)
        case "flaky", "error": return failed("failed", after: tries)
        case "rejection": return failed("hopeless", after: 1)
        case "hang", "deaf": return failed("timed-out", after: tries)
        case "unsettled": return failed("not-settled", after: 1)
        // Waiting for a database is no try, and a lost lease writes nothing: another try does the job.
        default: return done
        }
    }

    @Test(
        "each fault ends as its policy says: tries, code, one dead letter, what it answered for given up",
        arguments: [1, 3])
    func matrix(tries: Int) async throws {
        try await Self.with(jobsMax: 6, overrides: PolicyOverrides(triesMax: tries)) { stand in
            for fault in Self.faults { try await stand.file(fault, fault) }
            for fault in Self.faults {
                let ended = try await stand.waitForEnd(fault)
                #expect(ended == Self.expected(fault, tries: tries), "\(fault)")
            }
            #expect(stand.attempts.count("error") == tries)
            #expect(stand.attempts.count("rejection") == 1)
        }
    }

    @Test("a job that fails for good lets the next of its key go, and ends though its own part of ending fails")
    func lettingGo() async throws {
        try await Self.with { stand in
            try await stand.database.update("drop table abandoned")
            try await stand.file("rejection", "first", key: "k")
            try await stand.file("none", "second", key: "k")
            #expect(try await eventually { try await stand.state("second") == "done" })
            #expect(try await stand.state("first") == "failed")
        }
    }

    @Test(
        "the wait between tries doubles from the first to the cap, shortened by up to half, the same at each repetition"
    )
    func backOff() {
        let policy = JobPolicy(backOffFirst: .seconds(1), backOffMax: .seconds(60))
        for failures in 1...70 {
            let whole = min(60, pow(2, Double(failures - 1)))
            let waits = (1...200).map { policy.backOff(job: $0, failures: failures).seconds }
            #expect(waits.allSatisfy { (whole / 2...whole).contains($0) })
            #expect(Set(waits).count > 190)
            #expect((waits.max() ?? 0) - (waits.min() ?? 0) > whole / 3)
            #expect(waits == (1...200).map { policy.backOff(job: $0, failures: failures).seconds })
        }
    }

    // MARK: - Cancelled by a person

    @Test(
        "a running job is stopped within five seconds of its cancelling, deaf or not, and its slot goes to the next",
        arguments: ["wait", "deaf"])
    func cancelsRunning(fault: String) async throws {
        try await Self.with(jobsMax: 1, leaseSeconds: 3_600, overrides: PolicyOverrides(timeout: .seconds(600))) {
            stand in
            try await stand.file(fault, "long")
            #expect(try await eventually { stand.attempts.count("long") == 1 })
            try await stand.file("none", "next")
            let start = ContinuousClock.now
            #expect(try await stand.cancel("long") == .requested)
            #expect(try await eventually { try await stand.state("next") == "done" })
            let time = ContinuousClock.now - start
            #expect(time < .seconds(5), "\(time)")
            #expect(
                try await stand.ended("long")
                    == Ended(state: "cancelled", tries: 0, code: "cancelled", letters: 0, abandoned: 1))
            let row = try await stand.database.first("select message from abandoned")
            #expect(try row?.get("message", as: String.self) == "cancelled by ada: a wrong file")
            #expect(try await stand.cancel("long") == .ended(state: "cancelled"))
        }
    }

    @Test("a waiting job is cancelled at once, also behind a running one of its key or long before it is due")
    func cancelsWaiting() async throws {
        try await Self.with(jobsMax: 1, overrides: PolicyOverrides(timeout: .seconds(600))) { stand in
            try await stand.file("wait", "head", key: "k")
            try await stand.file("none", "follower", key: "k")
            #expect(try await eventually { stand.attempts.count("head") == 1 })
            #expect(try await stand.cancel("follower") == .requested)
            #expect(try await stand.waitForEnd("follower", within: .seconds(5))?.state == "cancelled")
            #expect(try await stand.state("head") == "running")
            #expect(stand.attempts.count("follower") == 0)
        }
    }

    @Test("a cancelled job whose runner has died is ended by the next runner once the lease is over")
    func cancelsOrphan() async throws {
        try await Self.with { stand in
            // Claimed by somebody who will not be heard of again.
            try await stand.database.update(
                """
                insert into ledger.job (kind, key, about, arguments, state, epoch, owner, lease_until)
                values ('scripted', 'k', 'orphan', '{"fault": "none"}', 'running', 7, 'dead',
                    now() + interval '1 second')
                """)
            #expect(try await stand.cancel("orphan") == .requested)
            #expect(
                try await stand.waitForEnd("orphan")
                    == Ended(state: "cancelled", tries: 0, code: "cancelled", letters: 0, abandoned: 1))
            #expect(stand.attempts.count("orphan") == 0)
        }
    }

    // MARK: - Priorities

    @Test("with 500 backfills waiting and every slot busy with a long one, a rollback starts within one second")
    func rollbackFirst() async throws {
        try await Self.with(jobsMax: 2, overrides: PolicyOverrides(timeout: .seconds(600))) { stand in
            for number in 1...2 { try await stand.file("wait", "busy-\(number)", priority: .backfill) }
            #expect(
                try await eventually {
                    stand.attempts.count("busy-1") == 1 && stand.attempts.count("busy-2") == 1
                })
            try await stand.database.transaction {
                try await Jobs.file(
                    (1...500).map {
                        JobRequest(
                            kind: Scripted.kind, key: "backfill-\($0)", about: "backfill-\($0)",
                            arguments: "{\"fault\": \"none\"}", priority: .backfill)
                    }, in: $0)
            }
            let start = ContinuousClock.now
            try await stand.file("none", "rollback", priority: .rollback)
            #expect(try await eventually { stand.attempts.count("rollback") == 1 })
            let time = ContinuousClock.now - start
            #expect(time < .seconds(1), "\(time)")
            #expect(stand.attempts.count("backfill-1") == 0)
        }
    }
}
