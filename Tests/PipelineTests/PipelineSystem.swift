import Foundation
import Logging
import NauraData
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore
import NauraTestKit
import Synchronization

/// The composed system: every worker as a process of its own, `instances` of each, around one broker and one database.
final class PipelineSystem: Sendable {
    static let workers = [
        "validate", "featurize", "schedule", "train", "promote", "rollout", "serve", "monitor", "notify", "api",
    ]

    let broker: TestBroker
    let database: Database
    let folder: URL
    private let databaseURL: String
    private let environment: [String: String]
    /// Where the workers' programs are; of several folders each process takes one in turn, also when it is started again.
    private let programs: Mutex<(folders: [URL], next: Int)>
    private let processes = Mutex<[WorkerProcess]>([])
    private let killsDone = Mutex(0)

    /// - Parameters:
    ///   - environment: what the workers are told beside the usual.
    ///   - programs: see ``use(_:)``.
    init(
        databaseURL: String, environment: [String: String] = [:], programs folders: [URL] = [WorkerProcess.folder]
    ) async throws {
        self.environment = environment
        programs = Mutex((folders, 0))
        var logger = Logger(label: "naura.tests")
        logger.logLevel = .error
        self.databaseURL = databaseURL
        folder = FileManager.default.temporaryDirectory.appending(path: "naura-pipeline-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        broker = try await TestBroker()
        database = Database(url: databaseURL, connectionsMax: 4, applicationName: "naura test", logger: logger)
    }

    /// Takes the programs of the processes that are started from now on from `folders`, in turn.
    func use(_ folders: [URL]) { programs.withLock { $0.folders = folders } }

    /// How many processes were killed.
    var kills: Int { killsDone.withLock { $0 } }

    /// Starts `instances` of each worker.
    func start(instances: Int) throws {
        for name in Self.workers {
            for number in 0..<instances {
                let process = try launch(name, number)
                processes.withLock { $0.append(process) }
            }
        }
    }

    /// Kills processes, at moments and in an order that `seed` chooses, until the task is cancelled or there were `most`
    /// kills; each is started again at once.
    ///
    /// The limit keeps a busy machine from never finishing: a training that takes longer than its worker may live
    /// begins again and again.
    func killAtRandom(seed: UInt64, most: Int) async throws {
        var random = SplitMix64(seed: seed)
        while !Task.isCancelled, kills < most {
            // The pause is part of the random moment, not a wait for something.
            try await Task.sleep(for: .milliseconds(Int.random(in: 150...900, using: &random)))
            let index = processes.withLock { Int.random(in: 0..<$0.count, using: &random) }
            let victim = processes.withLock { $0[index] }
            await victim.kill()
            let successor = try launch(victim.name, index)
            processes.withLock { $0[index] = successor }
            killsDone.withLock { $0 += 1 }
        }
    }

    /// Ends everything and removes what was made. Returns the exit codes of a polite end.
    @discardableResult
    func end() async throws -> [Int32] {
        let codes = await stop()
        try await close()
        return codes
    }

    /// `SIGTERM` to all. Returns the exit codes of a polite end.
    func stop() async -> [Int32] {
        var codes: [Int32] = []
        await withTaskGroup(of: Int32.self) { group in
            for process in running { group.addTask { await process.stop() } }
            for await code in group { codes.append(code) }
        }
        return codes
    }

    /// Removes what was made.
    func close() async throws {
        await database.close()
        await broker.end()
        try FileManager.default.removeItem(at: folder)
    }

    /// The last lines of every worker, for a failure's report.
    var logs: String {
        processes.withLock { $0 }.map {
            "--- \($0.name) \($0.isRunning ? "runs" : "has ended")\n\($0.log.suffix(1_500))"
        }
        .joined(separator: "\n")
    }

    /// Starts the worker `name` instead of the instance `number` of it, which is killed if it runs.
    func replace(_ name: String, _ number: Int, failpoint: String?) async throws -> WorkerProcess {
        let index = (Self.workers.firstIndex(of: name) ?? 0) + number
        await processes.withLock { $0[index] }.kill()
        let successor = try launch(name, number, failpoint: failpoint)
        processes.withLock { $0[index] = successor }
        return successor
    }

    /// The processes as they are now.
    var running: [WorkerProcess] { processes.withLock { $0 } }

    private func launch(_ name: String, _ number: Int, failpoint: String? = nil) throws -> WorkerProcess {
        let source = programs.withLock { programs in
            programs.next += 1
            return programs.folders[programs.next % programs.folders.count]
        }
        return try WorkerProcess(
            name,
            environment: [
                "NAURA_DATABASE_URL": databaseURL, "NAURA_KAFKA_BROKERS": broker.brokers,
                "NAURA_ARTIFACTS": folder.appending(path: "artifacts").path, "NAURA_LEASE_SECONDS": "2",
                "NAURA_KAFKA_SESSION_TIMEOUT_MS": "2000", "NAURA_KAFKA_LEAVE_GROUP": "0",
                "NAURA_KAFKA_FETCH_WAIT_MS": "25",
                "NAURA_CACHE": folder.appending(path: "cache-\(name)-\(number)").path, "NAURA_SERVE_PORT": "0",
                "NAURA_API_PORT": "0", "NAURA_FAILPOINT": failpoint ?? "",
            ].merging(environment) { $1 }, from: source)
    }

    /// What `pattern` finds in the log of the worker `name`: where it listens, once it does.
    func address(of name: String, said pattern: Regex<(Substring, Substring)>) async throws -> String {
        var found: String?
        let isFound = try await eventually(within: .seconds(30)) {
            let log = processes.withLock { $0.first { $0.name == name } }?.log ?? ""
            found = log.firstMatch(of: pattern).map { String($0.output.1) }
            return found != nil
        }
        guard isFound, let found else { throw PipelineFailure(description: "\(name) does not listen") }
        return found
    }

    // MARK: - What is asked of it

    /// Records the project file at `path`, as `naura apply` does.
    func apply(_ path: String, change: (inout ProjectDefinition) -> Void = { _ in }) async throws {
        let project = try ProjectReader.read(path: path)
        var definition = project.definition
        change(&definition)
        try await database.transaction { [definition] transaction in
            _ = try await Projects.apply(
                definition, sha256: project.sha256, source: project.source, by: "test", in: transaction)
        }
    }

    /// Publishes the arrival of `file`, under an id that is the same in every run.
    func publish(_ file: URL, dataset: String) async throws {
        let event = try EncodedEvent(
            NewData(dataset: DatasetID(rawValue: dataset), uri: file.absoluteString),
            id: EventID(rawValue: file.lastPathComponent), source: "/naura/test", time: Date(), causeID: nil,
            rootID: nil)
        _ = try await Publisher.publish(event, in: database)
    }

    /// Publishes `payload`, once a run.
    func say(_ payload: some EventPayload) async throws {
        let event = try EncodedEvent(
            payload, id: EventID(rawValue: "said/\(type(of: payload).type)/\(payload.subject)"), source: "/naura/test",
            time: Date(), causeID: nil, rootID: nil)
        _ = try await Publisher.publish(event, in: database)
    }

    /// Waits until the event of `file` has led to everything it leads to: each stage has counted every event of its
    /// topic, no job is open, nothing is unsent.
    func waitUntilSettled(_ file: URL, requests: Int, within limit: Duration) async throws -> Bool {
        try await eventually(within: limit) {
            guard try await count("naura.training_request where state <> 'frozen'") >= requests else { return false }
            // Its questions are asked one after another, and a chain can step over from what was asked first to what was
            // asked last: only a second look that finds nothing either is the end.
            guard try await openWork().isEmpty else { return false }
            return try await openWork().isEmpty
        }
    }

    /// What is still to be done, in words.
    func openWork() async throws -> [String] {
        var open: [String] = []
        let jobs = try await count(
            "ledger.job where state in ('waiting', 'running') and kind not in ('announce-slot', 'close-window')")
        if jobs > 0 { open.append("\(jobs) jobs") }
        let unsent = try await Outbox.depth(in: database)
        if unsent > 0 { open.append("\(unsent) unsent events") }
        for balance in try await balances() where balance.said != balance.counted {
            open.append("\(balance.stage): \(balance.counted) of \(balance.said)")
        }
        let rollouts = try await count("naura.rollout where state in ('waiting', 'running')")
        if rollouts > 0 { open.append("\(rollouts) rollouts") }
        return open
    }

    /// Per stage how many events of its topic were said, and how many it has counted. Telemetry does not pass the outbox
    /// and is left out.
    func balances() async throws -> [(stage: String, said: Int, counted: Int)] {
        try await database.query(
            """
            select stage, (select count(*) from ledger.outbox where type = topic) as said,
                (select count(*) from ledger.inbox i where i.stage = pairs.stage) as counted
            from (select distinct split_part(name, '/', 1) as stage, split_part(name, '/', 2) as topic
                from ledger.stream where name not like 'shared/%') pairs
            where topic not in ('predictions', 'ground-truth', 'serving-window') order by stage
            """
        ).map { (try $0.get("stage"), try $0.get("said"), try $0.get("counted")) }
    }

    func count(_ rows: String) async throws -> Int {
        let row = try await database.query(Query(stringLiteral: "select count(*) as rows from \(rows)")).first
        return try row?.get("rows", as: Int.self) ?? -1
    }
}
