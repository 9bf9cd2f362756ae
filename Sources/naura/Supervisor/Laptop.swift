import Foundation
import Glibc
import Logging
import NauraEvents
import NauraKafka
import NauraPostgres
import NauraProcess
import NauraSchemas

/// How far `naura up` is: `up.json`, read by other commands.
struct UpRecord: Codable, Sendable {
    enum Stage: String, Codable, Sendable { case starting, up, failed, ending }

    let process: ProcessIdentity
    var stage: Stage
    /// What it does now, or why it failed.
    var message: String

    static let file = "up.json"

    /// The record of a supervisor that still runs; nil when there is none.
    static func running(in folder: StateFolder) throws -> UpRecord? {
        guard let record = try folder.read(file, as: UpRecord.self), record.process.isAlive else { return nil }
        return record
    }
}

/// Everything that a laptop needs to turn the wheel: broker, database and workers, kept running.
///
/// Owned by one process at a time, which holds the folder's lock. Broker and database of an earlier run that still live
/// are taken over; its workers are ended and started again. Everything listens on 127.0.0.1.
actor Laptop {
    /// Partitions of each topic.
    static let partitions = 4
    /// How long workers may take to settle what they have open. The runtime itself gives up after 15 + 10 s.
    static let grace: Duration = .seconds(26)

    private let folder: StateFolder
    private let madeBy: String
    private let scale: [String: Int]
    private let say: @Sendable (String) -> Void
    private let logger: Logger
    private let broker: LocalBroker
    private let cluster: LocalCluster
    private var lock: FileLock?
    private var fleet: WorkerFleet?
    private var record = UpRecord(process: .own, stage: .starting, message: "")
    private var brokerPID: Int32?
    /// The addresses of what runs; known once `start` has returned.
    private(set) var settings: Settings?

    /// - Parameters:
    ///   - madeBy: who asks, `up` or `demo`; kept in a new folder's state.
    ///   - scale: instances by worker; empty keeps what the folder remembers.
    ///   - say: told what happens, a sentence at a time.
    init(folder: StateFolder, madeBy: String, scale: [String: Int], say: @escaping @Sendable (String) -> Void) {
        self.folder = folder
        self.madeBy = madeBy
        self.scale = scale
        self.say = say
        var logger = Logger(label: "naura")
        logger.logLevel = .error
        self.logger = logger
        broker = LocalBroker(directory: URL(fileURLWithPath: folder.broker), logger: logger)
        cluster = LocalCluster(directory: URL(fileURLWithPath: folder.database), logger: logger)
    }

    /// Brings everything up and returns when each worker says that it is ready.
    ///
    /// - Throws: ``CommandError`` when another supervisor runs here, a part does not start, or a worker keeps dying.
    func start() async throws {
        try folder.create()
        guard let lock = try FileLock.take(folder.lock) else {
            throw CommandError(.alreadyUp, "another naura up runs on \(folder.path)")
        }
        self.lock = consume lock
        try note(.starting, "starting")
        do {
            try await startParts()
        } catch {
            try note(.failed, "\(error)")
            throw error
        }
        try note(.up, "up")
    }

    private func startParts() async throws {
        try await WorkerFleet.endLeftovers(in: folder, grace: Laptop.grace, say: say)
        var state =
            try LaptopState.read(from: folder) ?? LaptopState(madeBy: madeBy, ports: [:], scale: [:])
        if !scale.isEmpty { state.scale = scale }
        state.forgetTakenPorts()
        try note(.starting, "starting database and broker")
        async let url = cluster.ensureRunning()
        async let brokers = broker.ensureRunning()
        (state.databaseURL, state.brokers) = (try await url.absoluteString, try await brokers)
        brokerPID = try broker.processID()
        let plan = try WorkerPlan(state: &state, folder: folder)
        try folder.write(state, to: LaptopState.file)
        let settings = try state.settings(in: folder)
        self.settings = settings
        try await migrate(settings.databaseURL)
        try await makeTopics()
        try note(.starting, "starting \(plan.instances.count) workers")
        let fleet = WorkerFleet(plan: plan, folder: folder, say: say)
        self.fleet = fleet
        try await fleet.reconcile()
        try await waitUntilReady(plan, fleet)
    }

    private func migrate(_ url: String) async throws {
        let database = Database(url: url, connectionsMax: 2, applicationName: "naura-up", logger: logger)
        do {
            let applied = try await SchemaFiles.migrator.run(on: database)
            if !applied.isEmpty { say("the database's tables are at \(applied[applied.count - 1])") }
        } catch {
            await database.close()
            throw error
        }
        await database.close()
    }

    private func makeTopics() async throws {
        guard let brokers = try broker.brokers() else { return }
        try await BrokerQuestions.makeTopics(
            EventCatalogue.types.map(\.rawValue), partitions: Laptop.partitions, at: brokers)
    }

    private func waitUntilReady(_ plan: WorkerPlan, _ fleet: WorkerFleet) async throws {
        let ready = try await Watch.until(timeout: .seconds(60), every: .milliseconds(100)) {
            try await fleet.reconcile()
            if let failing = await fleet.failing {
                throw CommandError(.process, "\(failing) dies again and again; see \(folder.log(failing))")
            }
            let late = await fleet.unready()
            try note(.starting, late.isEmpty ? "ready" : "waiting for \(late.joined(separator: ", "))")
            return late.isEmpty
        }
        try Task.checkCancellation()
        guard ready else {
            throw CommandError(.process, "not ready after a minute: \(record.message); see \(folder.path)/logs")
        }
    }

    /// Keeps everything running until the task is cancelled.
    func supervise() async throws {
        guard let fleet else { preconditionFailure("supervise before start") }
        var ticks = 0
        // A dead child could be told by SIGCHLD, a process that was taken over could not: both are looked at.
        while await Watch.pause(.milliseconds(200)) {
            try await fleet.reconcile()
            ticks += 1
            if ticks % 5 == 0 { await keepServers() }
        }
    }

    /// Starts broker and database again when they have died. A failure is said, and tried again at the next look.
    private func keepServers() async {
        do {
            if try broker.processID() == nil {
                say("the broker died; it starts again, empty, and is filled from the outbox")
                _ = try await broker.ensureRunning()
                try await makeTopics()
            }
            if cluster.processID == nil {
                say("the database died; it starts again")
                _ = try await cluster.ensureRunning()
            }
        } catch {
            say("\(error)")
        }
    }

    /// Ends everything this supervisor started or took over, and nothing else.
    func stop() async throws {
        guard lock != nil else { return }
        if record.stage != .failed { try note(.ending, "ending") }
        try await fleet?.end(grace: Laptop.grace)
        try await broker.stop()
        try await cluster.stop()
        if record.stage != .failed { try folder.remove(UpRecord.file) }
        lock = nil
    }

    /// Ends the workers without waiting for what they have open.
    func hurry() async { await fleet?.kill() }

    /// Ends what runs in `folder` although no supervisor does.
    static func endLeftovers(in folder: StateFolder, say: @escaping @Sendable (String) -> Void) async throws {
        guard let lock = try FileLock.take(folder.lock) else {
            throw CommandError(.alreadyUp, "a naura up runs on \(folder.path)")
        }
        let laptop = Laptop(folder: folder, madeBy: "down", scale: [:], say: say)
        try await WorkerFleet.endLeftovers(in: folder, grace: grace, say: say)
        try await laptop.broker.stop()
        try await laptop.cluster.stop()
        try folder.remove(UpRecord.file)
        _ = consume lock
    }

    /// Ends what runs in `folder`, and removes it with all its data.
    static func destroy(_ folder: StateFolder, say: @escaping @Sendable (String) -> Void) async throws {
        try await endLeftovers(in: folder, say: say)
        // The cluster's data may lie elsewhere, where the system user `postgres` can reach them.
        try await LocalCluster(directory: URL(fileURLWithPath: folder.database), logger: Connection.quiet).destroy()
        try FileManager.default.removeItem(atPath: folder.path)
    }

    private func note(_ stage: UpRecord.Stage, _ message: String) throws {
        guard record.stage != stage || record.message != message else { return }
        record.stage = stage
        record.message = message
        try folder.write(record, to: UpRecord.file)
    }
}

/// The tables' definitions that this program brings along.
enum SchemaFiles {
    static var migrator: Migrator {
        Migrator(files: EmbeddedFiles.all.filter { $0.name.hasPrefix("migrations/") })
    }
}
