// Events per second through one stage, exactly once: one inbox row, one effect row and one outbox row an event,
// published. Broker, database and worker share the machine.
//
//   runtime-benchmark [--events 200000] [--batch 500]     prints one line of JSON

import Foundation
import Logging
import NauraEvents
import NauraKafka
import NauraLedger
import NauraPostgres
import NauraSchemas
import NauraStage

/// Counts labels: one effect row and one following event for each event.
struct CountLabels: Stage {
    static let name: StageName = "count-labels"

    func handle(_ event: Event<GroundTruth>, in work: borrowing Work) async throws {
        try await work.transaction.execute(
            """
            insert into bench.effect (event_id, model, label)
            values (\(event.id), \(event.payload.model), \(event.payload.items[0].label))
            """)
        try await work.emit(RetrainDue(model: event.payload.model, requestedBy: "bench", reason: "measured"))
    }
}

@main
enum RuntimeBenchmark {
    static func main() async throws {
        if CommandLine.arguments.contains("worker") {
            await Worker.run("bench") { _ in WorkerParts().stage(CountLabels()) }
        } else {
            try await measure()
        }
    }

    private static func number(_ flag: String, _ usual: Int) -> Int {
        guard let place = CommandLine.arguments.firstIndex(of: flag), place + 1 < CommandLine.arguments.count else {
            return usual
        }
        return Int(CommandLine.arguments[place + 1]) ?? usual
    }

    private static func measure() async throws {
        let (events, batch) = (number("--events", 200_000), number("--batch", 500))
        var logger = Logger(label: "bench")
        logger.logLevel = .warning
        let directory = FileManager.default.temporaryDirectory.appending(path: "naura-bench-\(UUID().uuidString)")
        let cluster = LocalCluster(directory: directory.appending(path: "postgres"), databaseName: "naura", logger: logger)
        let url = try await cluster.ensureRunning()
        let broker = LocalBroker(directory: directory.appending(path: "broker"))
        let brokers = try await broker.ensureRunning()
        let database = Database(url: url.absoluteString, connectionsMax: 2, applicationName: "bench", logger: logger)
        let files = EmbeddedFiles.all.filter { $0.name.hasPrefix("migrations/") }
            .map { (name: String($0.name.dropFirst("migrations/".count)), text: $0.text) }
        _ = try await Migrator(files: files).run(on: database)
        _ = try await database.update("create schema bench")
        _ = try await database.update(
            "create table bench.effect (event_id text primary key, model text, label text, at timestamptz default clock_timestamp())")
        let admin = try KafkaAdmin(configuration: KafkaConfiguration(brokers: brokers))
        try await admin.createTopics(EventCatalogue.types.map(\.rawValue), partitions: 4)
        try await fill(brokers: brokers, events: events)

        let started = ContinuousClock.now
        let worker = Process()
        worker.executableURL = URL(filePath: CommandLine.arguments[0])
        worker.arguments = ["worker"]
        worker.environment = ProcessInfo.processInfo.environment.merging([
            "NAURA_DATABASE_URL": url.absoluteString, "NAURA_KAFKA_BROKERS": brokers,
            "NAURA_ARTIFACTS": directory.path, "NAURA_BATCH_EVENTS": "\(batch)", "NAURA_KAFKA_FETCH_WAIT_MS": "5",
            "NAURA_KAFKA_SESSION_TIMEOUT_MS": "2000", "NAURA_LOG_LEVEL": ProcessInfo.processInfo.environment["NAURA_LOG_LEVEL"] ?? "error",
        ]) { $1 }
        try worker.run()
        var handled = 0
        while handled < events, ContinuousClock.now - started < .seconds(600) {
            try await Task.sleep(for: .milliseconds(200))
            handled = try await count(in: database)
        }
        let row = try await database.query(
            "select extract(epoch from max(at) - min(at))::float8 as seconds, count(*)::bigint as rows from bench.effect"
        ).first
        let seconds = try row?.get("seconds", as: Double.self) ?? .nan
        let usage = cpuSeconds(of: worker.processIdentifier)
        worker.terminate()
        worker.waitUntilExit()
        print(
            #"{"events": \#(events), "batch": \#(batch), "handled": \#(handled), "seconds": \#(seconds), "#
                + #""events_per_second": \#((Double(handled) / seconds).rounded()), "worker_cpu_microseconds_per_event": \#((usage / Double(max(1, handled)) * 1e6).rounded())}"#)
        await database.close()
        try await broker.stop()
        try await cluster.destroy()
        try FileManager.default.removeItem(at: directory)
    }

    /// Events whose effect is stored and whose following event Kafka has acknowledged.
    private static func count(in database: Database) async throws -> Int {
        let row = try await database.query(
            "select coalesce(sum(sent), 0)::bigint as sent from ledger.stream where name like 'count-labels/%'").first
        return try row?.get("sent") ?? 0
    }

    private static func fill(brokers: String, events: Int) async throws {
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
                    let event = try EncodedEvent(payload, id: EventID("bench-\(index)"), source: "/naura/bench", time: now)
                    return KafkaMessage(
                        topic: "ground-truth", key: Array(payload.subject.utf8), value: event.body,
                        headers: event.headers)
                })
        }
        await producer.close()
    }

    /// User and system time of a process so far, in seconds.
    private static func cpuSeconds(of pid: Int32) -> Double {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let fields = text.split(separator: ")").last?.split(separator: " "), fields.count > 13,
            let user = Double(fields[11]), let system = Double(fields[12])
        else { return .nan }
        return (user + system) / 100
    }
}
