import Foundation
import NauraEvents
import NauraPostgres
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

/// Waits for the database at each event, as a stage does that asks a server: what it costs is time, not a processor.
struct WaitForAnswer: Stage {
    static let name: StageName = "wait-for-answer"
    /// How long the answer takes, in seconds.
    static let seconds = 0.005

    func handle(_ event: Event<GroundTruth>, in work: borrowing Work) async throws {
        let item = event.payload.items[0]
        _ = try await work.transaction.query("select pg_sleep(\(Self.seconds))")
        try await work.transaction.execute(
            """
            insert into bench.wait (key, number, sent_at)
            values (\(event.payload.model), \(Int(item.label) ?? -1)::int, \(item.observedAt))
            """)
    }
}

/// Notes when its event began to be handled, and announces the next one.
struct FirstHop: Stage {
    static let name: StageName = "first-hop"

    func handle(_ event: Event<NewData>, in work: borrowing Work) async throws {
        let startedAt = Date()
        try await work.transaction.execute(
            "insert into bench.hop (number, hop, at) values (\(event.payload.dataset.rawValue), 1, \(startedAt))")
        try await work.emit(
            RetrainDue(model: ModelID(rawValue: event.payload.dataset.rawValue), requestedBy: "bench", reason: "hop"))
    }
}

/// Notes when the next worker began to handle what the first one had announced.
struct SecondHop: Stage {
    static let name: StageName = "second-hop"

    func handle(_ event: Event<RetrainDue>, in work: borrowing Work) async throws {
        let startedAt = Date()
        try await work.transaction.execute(
            "insert into bench.hop (number, hop, at) values (\(event.payload.model.rawValue), 2, \(startedAt))")
        try await work.emit(
            CodeMerged(
                repository: event.payload.model.rawValue, commit: "0000000", ref: "refs/heads/main", paths: ["hop"]))
    }
}

/// The end of the chain.
struct ThirdHop: Stage {
    static let name: StageName = "third-hop"

    func handle(_ event: Event<CodeMerged>, in work: borrowing Work) async throws {
        let startedAt = Date()
        try await work.transaction.execute(
            "insert into bench.hop (number, hop, at) values (\(event.payload.repository), 3, \(startedAt))")
    }
}

/// The workers that are measured, each a process of its own.
enum BenchWorkers {
    static func run(_ role: String) async {
        await Worker.run(role) { _ in
            switch role {
            case "first": WorkerParts().stage(FirstHop())
            case "wait": WorkerParts().stage(WaitForAnswer())
            case "second": WorkerParts().stage(SecondHop())
            case "third": WorkerParts().stage(ThirdHop())
            default: WorkerParts().stage(CountLabels())
            }
        }
    }
}
