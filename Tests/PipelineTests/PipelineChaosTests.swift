// `kill -9` at the failpoints of the real workers, while a file goes from its arrival to a served model and another one
// is refused. `make test` takes a few points a worker; `make chaos` all of them (`NAURA_CHAOS_POINTS`).

import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NauraData
import NauraEvents
import NauraFailpoints
import NauraPostgres
import NauraRules
import NauraTestKit
import Synchronization
import Testing

@Suite(
    "Death at every moment, in the composed system", .serialized, .timeLimit(.minutes(60)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct PipelineChaosTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let seed = environment["NAURA_CHAOS_SEED"].flatMap(UInt64.init) ?? UInt64.random(in: 1...9_999)
    /// Failpoints a worker and run.
    private static let points = environment["NAURA_CHAOS_POINTS"].flatMap(Int.init) ?? 3
    private static let runs = environment["NAURA_CHAOS_RUNS"].flatMap(Int.init) ?? 1

    @Test(
        """
        Killed at each failpoint that it can reach, every worker leaves the tables of an undisturbed run: no lease, no \
        temporary file and no half-written artifact remains
        """)
    func deaths() async throws {
        let data = try SampleData.write(files: 2)
        defer { data.remove() }
        let broken = try data.writeBroken()
        let calm = try await run(data, broken, plan: [])
        for round in 0..<Self.runs {
            var random = SplitMix64(seed: Self.seed &+ UInt64(round))
            let plan = Self.plan(points: Self.points, random: &random)
            let planned = plan.flatMap(\.values).map(\.count).reduce(0, +)
            print("chaos: \(planned) deaths of workers, NAURA_CHAOS_SEED=\(Self.seed &+ UInt64(round))")
            let start = ContinuousClock.now
            let stormy = try await run(data, broken, plan: plan)
            print("chaos: \(stormy.deaths) of \(planned) deaths of workers in \(ContinuousClock.now - start)")
            #expect(stormy.missed.isEmpty, "not reached: \(stormy.missed)")
            for (question, answer) in calm.answers {
                #expect(stormy.answers[question] == answer, "\(question) differs")
            }
        }
        #expect(calm.answers["champion"]?.count == 1)
        #expect(calm.answers["notifications"]?.count ?? 0 > 0, "\(calm.answers["notifications"] ?? [])")
        #expect(calm.answers["dead letters"]?.isEmpty == true)
    }

    // MARK: - Which worker dies where

    // In the order in which one event passes them: each death repeats the event, and its successor gets a step further.
    private static let start: [Failpoint] = [
        .brokerObserved, .sharedLeasing, .sharedLeased, .transactionCommitting, .transactionCommitted,
    ]
    private static let batch: [Failpoint] = [
        .streamTaking, .streamTaken, .inboxDayMade, .batchOpened, .batchClaimed, .batchHandled, .batchWritten,
        .batchCommitted,
    ]
    private static let step: [Failpoint] = [
        .jobClaiming, .jobClaimed, .jobStepFenced, .jobStepWritten, .jobStepCommitted,
    ]
    private static let file: [Failpoint] = [.fileWriting, .fileWritten, .artifactRenamed, .artifactSettled]
    private static let settlement: [Failpoint] = [.jobSettleFenced, .jobSettleWritten, .jobSettled]
    private static let offset: [Failpoint] = [.offsetCommitting, .offsetCommitted]

    /// What each worker passes on the way of the first file, and of the one that is refused.
    private static let first: [String: [Failpoint]] = [
        "validate": start + batch + step + [.fileWriting, .fileWritten, .fileFetched]
            + [.artifactRenamed, .artifactSettled] + settlement,
        "featurize": start + batch + step + settlement,
        "train": start + batch + step + file + settlement,
        "promote": start + batch + step + settlement,
        // Without a canary there is no job of a rollout's; RolloutTests has those.
        // Its outbox right after its batch: once the offset is committed too, nothing has to be sent again.
        "rollout": start + batch + [.outboxSending, .outboxAcknowledged, .cursorStoring, .cursorStored, .jobClaiming],
        "notify": start + batch + step + [.notificationSent] + settlement,
        "monitor": start + [.streamTaking, .streamTaken, .jobClaiming],
        "schedule": start + [.jobClaiming, .filingWritten, .filed],
        "api": start + [.published],
        "serve": [.fileReplacing, .fileReplaced, .transactionCommitting, .transactionCommitted] + file,
    ]
    /// The same for a second file: what would have let the first one's jobs go by.
    private static let second: [String: [Failpoint]] = [
        "validate": offset, "featurize": offset, "train": offset, "promote": offset, "notify": offset,
        "rollout": offset,
    ]

    private static func plan(points: Int, random: inout SplitMix64) -> [[String: [Failpoint]]] {
        [first, second].map { phase in
            var plan: [String: [Failpoint]] = [:]
            for worker in phase.keys.sorted() {
                let all = phase[worker] ?? []
                plan[worker] = all.indices.shuffled(using: &random).prefix(points).sorted().map { all[$0] }
            }
            return plan
        }
    }

    // MARK: - One run

    private struct Outcome {
        var answers: [String: [String]] = [:]
        var deaths = 0
        var missed: [String] = []
    }

    private func run(_ data: SampleData, _ broken: URL, plan: [[String: [Failpoint]]]) async throws -> Outcome {
        try await TestDatabase.withURL { url in
            let system = try await PipelineSystem(databaseURL: url)
            try await system.apply(data.projectFile)
            try system.start(instances: 1)
            var outcome = Outcome()
            do {
                guard try await system.waitUntilAtWork() else {
                    throw PipelineFailure(description: "it does not begin")
                }
                for (place, file) in data.files.enumerated() {
                    let phase = place < plan.count ? plan[place] : [:]
                    let deaths = DeathLog()
                    let killers = phase.map { worker, points in
                        Task { try await system.kill(worker, at: points, deaths) }
                    }
                    let client = try await system.insist(file, dataset: data.dataset)
                    if place == 0 { try await system.publish(broken, dataset: data.dataset) }
                    let wanted = phase.values.map(\.count).reduce(0, +)
                    _ = try await eventually(within: .seconds(90 + 5 * wanted)) {
                        guard try await system.count("naura.rollout where state = 'completed'") > place else {
                            return false
                        }
                        return deaths.all.count >= wanted
                    }
                    for task in killers + [client] { task.cancel() }
                    for killer in killers { _ = await killer.result }
                    do { try await client.value } catch is CancellationError {}
                    outcome.deaths += deaths.all.count
                    outcome.missed += phase.flatMap { worker, points in points.map { "\(worker) at \($0.rawValue)" } }
                        .filter { !deaths.all.contains($0) }
                    for worker in phase.keys { try await system.disarm(worker) }
                    guard try await system.waitUntilAtWork(),
                        try await system.waitUntilSettled(file, requests: place + 1, within: .seconds(90))
                    else { throw PipelineFailure(description: "\(file.lastPathComponent) does not end") }
                }
                outcome.answers = try await system.answers()
                try await expectNothingRemains(of: system)
            } catch {
                let (open, logs) = (try await system.openWork(), system.logs)
                try await system.end()
                throw PipelineFailure(description: "\(error): \(open)\n\(logs)")
            }
            return outcome
        }
    }

    private func expectNothingRemains(of system: PipelineSystem) async throws {
        let artifacts = system.folder.appending(path: "artifacts")
        let store = try ArtifactStore(directory: artifacts.path)
        let stored = try FileManager.default.subpathsOfDirectory(atPath: artifacts.appending(path: "sha256").path)
        for path in stored where path.contains("/") {
            #expect(throws: Never.self, "\(path) is half-written") {
                _ = try store.open(URL(filePath: path).lastPathComponent)
            }
        }
        let written = try FileManager.default.subpathsOfDirectory(atPath: artifacts.appending(path: "writing").path)
        #expect(written.filter { $0.contains("/") }.isEmpty, "temporary files remain: \(written)")
        let cached = try FileManager.default.subpathsOfDirectory(
            atPath: system.folder.appending(path: "cache-serve-0").path)
        #expect(!cached.contains("routes.json.new"))
        let kept = system.database
        let codes = await system.stop()
        #expect(codes.allSatisfy { $0 == 0 }, "a worker did not end in order: \(codes)\n\(system.logs)")
        for (what, rows) in [
            ("jobs held", "ledger.job where state = 'running'"),
            ("streams held", "ledger.stream where owner is not null or not is_clean"),
            ("tries on record", "ledger.attempt"),
        ] {
            let count = try await kept.first(Query(stringLiteral: "select count(*) as rows from \(rows)"))
            #expect(try count?.get("rows", as: Int.self) == 0, "\(what)")
        }
        try await system.close()
    }
}

extension PipelineSystem {
    /// Sixteen stages, four partitions each.
    private static let streamsOfAllStages = 64

    /// Has the worker `name` die at one failpoint after another, each time in a new process.
    func kill(_ name: String, at failpoints: [Failpoint], _ deaths: DeathLog) async throws {
        for failpoint in failpoints {
            let process = try await replace(name, 0, failpoint: "\(failpoint.rawValue)=kill")
            while process.isRunning { try await Task.sleep(for: .milliseconds(20)) }
            if await process.exitCode() == -SIGKILL, process.log.contains("failpoint \(failpoint.rawValue) ") {
                deaths.add("\(name) at \(failpoint.rawValue)")
            }
        }
        _ = try await replace(name, 0, failpoint: nil)
    }

    /// Replaces the worker `name` by one that is not armed, unless it is none already.
    func disarm(_ name: String) async throws { _ = try await replace(name, 0, failpoint: nil) }

    /// Publishes the arrival of `file` over HTTP, and again and again under the same key until it is cancelled, as a client
    /// does that never hears the answer. Returns once it was accepted.
    func insist(_ file: URL, dataset: String) async throws -> Task<Void, any Error> {
        guard try await eventually(within: .seconds(90), { try await post(file, dataset: dataset) }) else {
            throw PipelineFailure(description: "\(file.lastPathComponent) was not accepted")
        }
        return Task {
            while !Task.isCancelled {
                _ = try await post(file, dataset: dataset)
                try await Task.sleep(for: .milliseconds(250))
            }
        }
    }

    /// False where the connection or the process that was asked has gone; what is refused is thrown.
    private func post(_ file: URL, dataset: String) async throws -> Bool {
        let api = try await address(of: "api", said: /"message":"the page is served","address":"([^"]+)"/)
        var request = HTTPClientRequest(url: "http://\(api)/api/v1/events/new-data")
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "idempotency-key", value: file.lastPathComponent)
        let payload = NewData(dataset: DatasetID(rawValue: dataset), uri: file.absoluteString)
        request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(payload)))
        guard let response = try? await HTTPClient.shared.execute(request, timeout: .seconds(10)) else { return false }
        guard response.status == .accepted else {
            throw PipelineFailure(description: "publishing was refused with \(response.status)")
        }
        return true
    }

    /// Waits until every partition's stream is held by a worker that lives, and none is missing.
    func waitUntilAtWork() async throws -> Bool {
        try await eventually(within: .seconds(60)) {
            let pids = running.map { Int($0.pid) }
            let row = try await database.first(
                """
                select count(*) filter (where w.pid = any(\(pids))) as held, count(*) as streams
                from ledger.stream s left join ledger.worker w on w.instance = s.owner
                where s.name not like 'shared/%'
                """)
            let (held, streams) = (try row?.get("held", as: Int.self) ?? 0, try row?.get("streams", as: Int.self) ?? 0)
            return held == streams && streams >= Self.streamsOfAllStages
        }
    }
}

/// Who died where, for the tasks of a run.
final class DeathLog: Sendable {
    private let deaths = Mutex<[String]>([])
    var all: [String] { deaths.withLock { $0 } }
    func add(_ death: String) { deaths.withLock { $0.append(death) } }
}
