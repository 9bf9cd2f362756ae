import Foundation
import Logging
import NauraEvents
import NauraKafka
import NauraPostgres
import NauraSchemas

/// A broker and a database of our own, with all tables and topics, and worker processes.
struct BenchSystem {
    let folder: URL
    let databaseURL: String
    let brokers: String
    let database: Database
    private let cluster: LocalCluster
    private let broker: LocalBroker

    /// Starts everything, lets `body` measure, and removes it again.
    static func with(partitions: Int = 4, _ body: (BenchSystem) async throws -> Void) async throws {
        let system = try await BenchSystem(partitions: partitions)
        do {
            try await body(system)
        } catch {
            try await system.end()
            throw error
        }
        try await system.end()
    }

    private init(partitions: Int) async throws {
        var logger = Logger(label: "bench")
        logger.logLevel = .error
        folder = FileManager.default.temporaryDirectory.appending(path: "naura-bench-\(UUID().uuidString)")
        cluster = LocalCluster(directory: folder.appending(path: "postgres"), databaseName: "naura", logger: logger)
        databaseURL = try await cluster.ensureRunning().absoluteString
        broker = LocalBroker(directory: folder.appending(path: "broker"), logger: logger)
        brokers = try await broker.ensureRunning()
        database = Database(url: databaseURL, connectionsMax: 2, applicationName: "bench", logger: logger)
        let files = EmbeddedFiles.all.filter { $0.name.hasSuffix(".sql") }
        _ = try await Migrator(files: files).run(on: database)
        for statement in Self.tables { _ = try await database.update(Query(stringLiteral: statement)) }
        let admin = try KafkaAdmin(configuration: KafkaConfiguration(brokers: brokers), logger: logger)
        try await admin.createTopics(EventCatalogue.types.map(\.rawValue), partitions: partitions)
        await admin.close()
    }

    private func end() async throws {
        await database.close()
        try await broker.stop()
        try await cluster.destroy()
        try FileManager.default.removeItem(at: folder)
    }

    private static let tables = [
        "create schema bench",
        """
        create table bench.effect (event_id text primary key, model text, label text,
            at timestamptz default clock_timestamp())
        """,
        "create table bench.hop (number text, hop int, at timestamptz)",
        """
        create table bench.wait (at bigint generated always as identity, key text, number int, sent_at timestamptz,
            handled_at timestamptz default clock_timestamp())
        """,
    ]

    /// The program `name` beside this one.
    func program(_ name: String) -> URL {
        URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
            .appending(path: name)
    }

    /// Starts `program` with the environment of a worker of this system.
    ///
    /// - Parameter isQuiet: whether what it prints is thrown away, and not only what it logs.
    func start(
        _ program: URL, _ arguments: [String], more: [String: String] = [:], isQuiet: Bool = false
    ) throws -> Process {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging([
            "NAURA_DATABASE_URL": databaseURL, "NAURA_KAFKA_BROKERS": brokers, "NAURA_ARTIFACTS": folder.path,
            "NAURA_CACHE": folder.appending(path: "cache").path, "NAURA_SERVE_PORT": "0", "NAURA_API_PORT": "0",
            "NAURA_KAFKA_FETCH_WAIT_MS": "2", "NAURA_KAFKA_SESSION_TIMEOUT_MS": "2000", "NAURA_KAFKA_LEAVE_GROUP": "0",
            "NAURA_LOG_LEVEL": "error",
        ]) { $1 }.merging(more) { $1 }
        process.standardError = FileHandle.nullDevice
        if isQuiet { process.standardOutput = FileHandle.nullDevice }
        try process.run()
        return process
    }

    /// This program as a worker in the role `role`.
    func startWorker(_ role: String, more: [String: String] = [:]) throws -> Process {
        try start(URL(filePath: CommandLine.arguments[0]), ["worker", role], more: more)
    }

    /// Waits until `count` of the registered workers hold partitions, or are there at all.
    func waitForWorkers(_ count: Int, holding partitions: Int) async throws {
        try await poll {
            let row = try await database.query(
                """
                select count(*) as ready from ledger.worker
                where state = 'running' and jsonb_array_length(assignments) >= \(partitions)::int
                """
            ).first
            return try row?.get("ready", as: Int.self) ?? 0 >= count
        }
    }

    /// Asks every 50 ms until `condition` holds, for ten minutes at most.
    func poll(_ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(600)
        while try await !condition() {
            guard ContinuousClock.now < deadline else { throw BenchFailure(description: "nothing happens any more") }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Fills the topic `ground-truth` with `events` events of some 400 bytes.
    func fill(events: Int) async throws {
        var configuration = KafkaConfiguration(brokers: brokers)
        configuration.linger = .milliseconds(2)
        let producer = try KafkaProducer(configuration: configuration)
        let now = Date()
        for start in stride(from: 0, to: events, by: 10_000) {
            try await producer.send(
                (start..<min(start + 10_000, events)).map { index in
                    let payload = GroundTruth(
                        model: ModelID("model-\(index % 997)"),
                        items: [
                            GroundTruth.Item(
                                predictionID: "prediction-\(index)", unit: "unit-\(index)", at: now, label: "Yes",
                                observedAt: now)
                        ])
                    let event = try EncodedEvent(
                        payload, id: EventID("bench-\(index)"), source: "/naura/bench", time: now)
                    return KafkaMessage(
                        topic: "ground-truth", key: Array(payload.subject.utf8), value: event.body,
                        headers: event.headers)
                })
        }
        await producer.close()
    }
}

struct BenchFailure: Error, CustomStringConvertible {
    let description: String
}

/// What the kernel says of a process.
enum ProcessFigures {
    /// User and system time so far, in seconds; NaN when there is no such process.
    static func cpuSeconds(of pid: Int32) -> Double {
        let fields = text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 13, let user = Double(fields[11]), let system = Double(fields[12]) else { return .nan }
        return (user + system) / 100
    }

    /// Resident memory and its proportional share (shared pages counted by who shares them), in MB.
    static func memory(of pid: Int32) -> (resident: Double, proportional: Double) {
        func field(_ name: String, in text: String) -> Double {
            let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
            return (line?.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? .nan) / 1_024
        }
        return (
            field("VmRSS:", in: text("/proc/\(pid)/status")), field("Pss:", in: text("/proc/\(pid)/smaps_rollup"))
        )
    }

    /// Resident memory in MB; NaN when there is no such process.
    static func resident(of pid: Int32) -> Double {
        let line = text("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? .nan) / 1_024
    }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
}
