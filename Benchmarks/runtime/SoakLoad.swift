import Foundation
import NauraEvents
import NauraKafka
import NauraLedger
import NauraPostgres
import NauraProcess
import Synchronization

/// The load of a soak: each kind of thing that comes to Naura, at a steady rate.
final class SoakLoad: Sendable {
    private static let dataset = "deliveries"
    private static let mergesASecond = 100
    private static let labelsASecond = 50
    private static let predictionsASecond = 50
    private static let secondsAFile = 20.0

    private let system: BenchSystem
    private let folder: URL
    private let gatewayPort: Int
    private let counts = Mutex((merges: 0, labels: 0, files: 0))

    init(_ system: BenchSystem) throws {
        self.system = system
        folder = system.folder.appending(path: Self.dataset)
        gatewayPort = try FreePort.choose()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    /// What the workers are told beside the usual.
    var environment: [String: String] {
        let keep = "\(Soak.keepSeconds)"
        return [
            "NAURA_SERVE_PORT": "\(gatewayPort)", "NAURA_KAFKA_FETCH_WAIT_MS": "25",
            "NAURA_PRUNE_SECONDS": "\(Soak.pruneSeconds)",
            "NAURA_KEEP_OUTBOX_SECONDS": keep, "NAURA_KEEP_JOBS_SECONDS": keep, "NAURA_KEEP_PREDICTIONS_SECONDS": keep,
        ]
    }

    /// Writes the project as `naura init` does, with windows of seconds, and puts it on record.
    func writeProject() throws {
        try write(rows: 1_200, to: firstFile)
        try run([
            "init", folder.path, "--from", firstFile.path, "--key", "id", "--label", "late", "--timestamp",
            "event_time",
        ])
        let project = folder.appending(path: "naura.yaml")
        let text = try String(contentsOf: project, encoding: .utf8)
        try text.replacing("monitor: { window: 1h }", with: "monitor: { window: 15s, lateness: 5s }")
            .write(to: project, atomically: true, encoding: .utf8)
        try run(["apply", project.path])
    }

    /// Has the first model trained and served.
    func begin() async throws {
        try await publish(firstFile)
        try await system.poll {
            try await system.database.first("select 1 as one from naura.model_alias where alias = 'champion'") != nil
        }
    }

    /// Loads for `seconds`.
    func run(for seconds: Double) async throws {
        let traffic = try system.start(
            system.program("naura"),
            [
                "traffic", Self.dataset, "--rows", firstFile.path, "--rate", "\(Self.predictionsASecond)",
                "--duration", "\(Int(seconds))s",
            ], more: ["NAURA_SERVE_URL": "http://127.0.0.1:\(gatewayPort)"], isQuiet: true)
        let deadline = ContinuousClock.now + .seconds(seconds)
        let producer = try KafkaProducer(configuration: KafkaConfiguration(brokers: system.brokers))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await self.every(0.1, until: deadline) { try await self.merge(Self.mergesASecond / 10) }
            }
            group.addTask {
                try await self.every(0.2, until: deadline) { try await self.label(Self.labelsASecond / 5, producer) }
            }
            group.addTask {
                try await self.every(Self.secondsAFile, until: deadline) {
                    let number = self.counts.withLock { counts in
                        counts.files += 1
                        return counts.files
                    }
                    let file = self.folder.appending(path: "more-\(number).csv")
                    try self.write(rows: 60, to: file)
                    try await self.publish(file)
                }
            }
            try await group.waitForAll()
        }
        await producer.close()
        traffic.waitUntilExit()
        guard traffic.terminationStatus == 0 else { throw BenchFailure(description: "the gateway answered nothing") }
    }

    /// What was sent.
    func summary(minutes: Double) -> String {
        let sent = counts.withLock { $0 }
        return """
            \(String(format: "%g", minutes)) minutes: \(sent.merges) merges through the outbox (\(Self.mergesASecond)/s), \
            \(sent.labels) labels of another Kafka client (\(Self.labelsASecond)/s), \(Self.predictionsASecond) predictions a \
            second over HTTP, \(sent.files) files of 60 rows, each with a training, a gate and a rollout. Retention: \
            \(Soak.keepSeconds) s instead of days, pruned each \(Soak.pruneSeconds) s.
            """
    }

    // MARK: - Kinds of load

    /// Merges that concern no model: a row in the outbox, a record, a row in the inbox.
    private func merge(_ count: Int) async throws {
        let first = counts.withLock { counts in
            counts.merges += count
            return counts.merges
        }
        let events = try (first..<first + count).map { number in
            try EncodedEvent(
                CodeMerged(
                    repository: "acme/soak-\(number % 16)", commit: String(format: "%07x", number),
                    ref: "refs/heads/main",
                    paths: ["soak"]), id: EventID("soak-merge-\(number)"), source: "/naura/soak", time: Date())
        }
        try await system.database.transaction { try await Outbox.append(events, in: $0) }
    }

    /// Labels as another Kafka client sends them, past the outbox.
    private func label(_ count: Int, _ producer: KafkaProducer) async throws {
        let first = counts.withLock { counts in
            counts.labels += count
            return counts.labels
        }
        let now = Date()
        try await producer.send(
            (first..<first + count).map { number in
                let payload = GroundTruth(
                    model: ModelID(Self.dataset),
                    items: [GroundTruth.Item(unit: "d\(number % 900)", at: now, label: "yes", observedAt: now)])
                let event = try EncodedEvent(
                    payload, id: EventID("soak-label-\(number)"), source: "https://example.org/soak", time: now)
                return KafkaMessage(
                    topic: "ground-truth", key: Array(payload.subject.utf8), value: event.body, headers: event.headers)
            })
    }

    private func publish(_ file: URL) async throws {
        let event = try EncodedEvent(
            NewData(dataset: DatasetID(Self.dataset), uri: file.absoluteString), id: EventID(file.lastPathComponent),
            source: "/naura/soak", time: Date(), causeID: nil, rootID: nil)
        _ = try await Publisher.publish(event, in: system.database)
    }

    /// Does `body` each `seconds`, as a load that does not wait for what it causes.
    private func every(
        _ seconds: Double, until deadline: ContinuousClock.Instant, _ body: () async throws -> Void
    ) async throws {
        var next = ContinuousClock.now
        while next < deadline {
            try await body()
            next += .seconds(seconds)
            try await Task.sleep(until: min(next, deadline), clock: .continuous)
        }
    }

    // MARK: - Files

    private var firstFile: URL { folder.appending(path: "first.csv") }

    private func write(rows: Int, to file: URL) throws {
        var lines = ["id,event_time,distance,weight,carrier,fragile,late"]
        for row in 0..<rows {
            let (distance, weight) = (Double.random(in: 1...900), Int.random(in: 1...60))
            let carrier = ["north", "south", "west"].randomElement() ?? "west"
            let score = distance / 300 + (carrier == "west" ? 1.5 : 0) + Double(weight) / 40
            lines.append(
                [
                    "d\(row * 7 % 900)", String(format: "2013-01-%02dT%02d:00:00Z", row % 27 + 1, row % 24),
                    String(format: "%.1f", distance), "\(weight)", carrier, row % 3 == 0 ? "yes" : "no",
                    score + Double.random(in: -1.5...1.5) > 3 ? "yes" : "no",
                ].joined(separator: ","))
        }
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
    }

    private func run(_ arguments: [String]) throws {
        let process = try system.start(system.program("naura"), arguments, isQuiet: true)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw BenchFailure(description: "naura \(arguments[0]) ended with \(process.terminationStatus)")
        }
    }
}
