import Foundation
import Logging
import NauraData
import NauraEvents
import NauraLedger
import NauraModels
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import featurize
@testable import monitor
@testable import notify
@testable import promote
@testable import rollout
@testable import train
@testable import validate

/// The whole loop on one database without a broker: its outbox is what Kafka would carry, real stages handle it, real jobs
/// are run. What they leave behind is a history.
final class LivedHistory {
    let database: Database
    let artifacts: ArtifactStore
    let folder: String
    private var places: [String: Int] = [:]
    private var streams: [Int] = []
    private let stages: [any StageHandling]
    private let runners: [any RunnerHandling]

    /// Traffic of one minute a window.
    static let windowSeconds = 60.0

    init(_ database: Database, folder: String) throws {
        self.database = database
        self.folder = folder
        artifacts = try ArtifactStore(directory: "\(folder)/artifacts")
        let history = FeatureHistory(database)
        stages = [
            StageBox(stage: NumberSnapshot()), StageBox(stage: OrderFeatures()), StageBox(stage: FoldNewData()),
            StageBox(stage: FoldMergedCode()), StageBox(stage: FoldDrift()), StageBox(stage: FoldRequests()),
            StageBox(stage: GateTrained()), StageBox(stage: StartRollout()), StageBox(stage: WeighEvidence()),
            StageBox(stage: WatchPredictions()), StageBox(stage: KeepOutcomes()), StageBox(stage: TellOfRejectedData()),
            StageBox(stage: TellOfDrift()), StageBox(stage: TellOfRejectedModel()), StageBox(stage: TellOfRollout()),
            StageBox(stage: TellOfDeadLetter()),
        ]
        runners = [
            RunnerBox(runner: ValidateSnapshot(artifacts: artifacts)),
            RunnerBox(runner: FeaturizeSnapshot(artifacts: artifacts)),
            RunnerBox(runner: TrainModel(history: history, artifacts: artifacts, host: "test")),
            RunnerBox(runner: EvaluateCandidate(history: history, artifacts: artifacts)),
            RunnerBox(
                runner: CloseWindow(
                    history: PredictionHistory(database), references: References(artifacts),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })),
        ]
    }

    // MARK: - What happens to it

    /// Applies the project; `channels` are those of the model.
    func apply(channels: [String] = ["on-call"]) async throws {
        let quick = RolloutPolicy(
            bakeSeconds: [0], errorMargin: 0.05, slowMargin: 0.05, minUnits: 50, warmUpUnits: 0, warmUpSeconds: 0)
        let model = ModelDefinition(
            name: "churn", label: LabelDefinition(dataset: "customers", column: "churn", positive: "Yes"),
            features: ["profile"],
            trainer: .xgboost(XGBoostParameters(rounds: 10, maxDepth: 3, learningRate: 0.2, seed: 7)),
            code: CodeScope(repository: "acme/churn", ref: "refs/heads/main", paths: ["churn/**"]),
            retrain: RetrainPolicy(quietPeriodSeconds: 0, cooldownSeconds: 0), promote: PromotionPolicy(margin: 0.2),
            rollout: quick, monitor: MonitorPolicy(windowSeconds: Self.windowSeconds, latenessSeconds: 5),
            notify: channels)
        let contract = Contract(columns: [ColumnRule(name: "churn", type: .text, values: ["Yes", "No"])])
        let project = ProjectDefinition(
            name: "churn",
            datasets: ["customers": DatasetDefinition(name: "customers", key: "customerid", contract: contract)],
            featureViews: ["profile": TrainFixture.views[0]], models: ["churn": model],
            notify: Dictionary(uniqueKeysWithValues: channels.map { ($0, NotifyChannel.log) }))
        try await database.transaction {
            _ = try await Projects.apply(
                project, sha256: channels.joined(), source: channels.joined(), by: "test", in: $0)
        }
    }

    /// Writes a file of customers and returns its address.
    func file(_ name: String, customers count: Int, seed: UInt64, label: String? = nil) throws -> String {
        var random = SplitMix64(seed: seed)
        var lines = ["customerid,tenure,contract,charge,churn"]
        for row in 1...count {
            let tenure = random.nextIndex(below: 72)
            let contract = ["Month-to-month", "One year", "Two year"][random.nextIndex(below: 3)]
            let leaves = random.nextUnit() < 0.1 ? random.nextUnit() < 0.3 : tenure < 20 && contract != "Two year"
            lines.append(
                "c-\(seed)-\(row),\(tenure),\(contract),\((random.nextUnit() * 10_000).rounded() / 100),"
                    + (label ?? (leaves ? "Yes" : "No")))
        }
        try lines.joined(separator: "\n").write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
        return "file://\(folder)/\(name)"
    }

    func publish(_ payloads: [some EventPayload], from source: String = "/naura/cli") async throws {
        let events = try payloads.map { payload in
            try EncodedEvent(payload, id: .random(), source: source, time: Date(), causeID: nil, rootID: nil)
        }
        try await database.transaction { try await Outbox.append(events, in: $0) }
        try await turn()
    }

    /// Handles an event that another client has sent straight to Kafka.
    func receive(_ payload: some EventPayload) async throws {
        let event = try EncodedEvent(
            payload, id: .random(), source: "https://shop.example", time: Date(), causeID: nil, rootID: nil)
        for stage in stages where stage.topic == event.envelope.type.rawValue {
            try await handle([event], at: stage)
        }
        try await turn()
    }

    /// Has stages handle what a gateway sends straight to Kafka; returns the events, which no ledger holds.
    func answer(_ payloads: [Predictions]) async throws -> [EncodedEvent] {
        let events = try payloads.map { payload in
            try EncodedEvent(payload, id: .random(), source: "/naura/serve", time: Date(), causeID: nil, rootID: nil)
        }
        for stage in stages where stage.topic == Predictions.type.rawValue { try await handle(events, at: stage) }
        try await turn()
        return events
    }

    /// Says what a gateway saw of the running canary: `units` of each arm, all good, or those of the canary bad.
    func window(units: Int, isBad: Bool = false) async throws {
        let rollout = try #require(
            try await database.transaction { try await Rollouts.active(of: "churn", in: $0) })
        func arm(_ arm: Arm, _ first: Int) -> ServingWindow.ArmWindow {
            let names = (first..<first + units).map { String(format: "%016x", $0) }
            return ServingWindow.ArmWindow(
                arm: arm, requests: units, newUnits: names,
                firstBad: isBad && arm == .canary
                    ? names.map { ServingWindow.FirstBad(metric: .error, unit: $0, at: Date()) } : [])
        }
        let payload = ServingWindow(
            model: "churn", gateway: "g", boot: "b", number: 1, epoch: rollout.epoch, weight: rollout.weight,
            rollout: Int64(rollout.id), canaryVersion: rollout.version,
            arms: [arm(.canary, 0), arm(.champion, 1 << 20)],
            at: Date())
        // From the gateway, so that no ledger holds it.
        let event = try EncodedEvent(
            payload, id: .random(), source: "/naura/serve", time: Date(), causeID: nil, rootID: nil)
        for stage in stages where stage.topic == ServingWindow.type.rawValue { try await handle([event], at: stage) }
        try await turn()
    }

    // MARK: - The loop

    /// Handles and does everything that is there, until nothing follows any more.
    func turn() async throws {
        if streams.isEmpty { streams = try await History.streams(in: database) }
        var hasMoved = true
        while hasMoved {
            hasMoved = false
            for stage in stages {
                for stream in streams { hasMoved = try await read(stage, stream) || hasMoved }
            }
            try await database.update(
                "update ledger.job set due_at = now() where state = 'waiting' and kind in ('train', 'close-window')")
            while let job = try await Jobs.claim(
                kinds: runners.map(\.kind), owner: "test", leaseSeconds: 60, in: database)
            {
                let runner = try #require(runners.first { $0.kind == job.kind })
                try await runner.run(job, under: Lease(job, database: database))
                hasMoved = true
            }
        }
    }

    private func read(_ stage: any StageHandling, _ stream: Int) async throws -> Bool {
        let place = "\(stage.name) \(stream)"
        let rows = try await Outbox.rows(of: stream, after: places[place] ?? 0, limit: 500, in: database)
        guard let last = rows.last else { return false }
        places[place] = last.number
        let events = rows.map(\.event).filter { $0.envelope.type.rawValue == stage.topic }
        guard !events.isEmpty else { return true }
        do {
            try await handle(events, at: stage)
        } catch is Rejection {
            for event in events {
                do { try await handle([event], at: stage) } catch let reason as Rejection {
                    try await bury(event, reason, at: stage)
                }
            }
        }
        return true
    }

    private func handle(_ events: [EncodedEvent], at stage: any StageHandling) async throws {
        let opened = try events.map { OpenedEvent(encoded: $0, payload: try stage.decode($0)) }
        try await Inbox.ensure(days: Set(opened.map(\.key.day)), in: database)
        try await database.transaction { transaction in
            let fresh = try await Inbox.claim(opened.map(\.key), for: stage.name, in: transaction)
            let batch = Batch(transaction: transaction)
            let known = try await Outbox.known(events.map(\.envelope.id), in: transaction)
            _ = try await ForeignEvents.record(
                events.filter { !$0.envelope.isOwn && !known.contains($0.envelope.id) }, in: transaction)
            try await stage.handle(opened.filter { fresh.contains($0.key.key) }, in: batch)
            try await batch.flushShared()
        }
    }

    private func bury(_ event: EncodedEvent, _ reason: Rejection, at stage: any StageHandling) async throws {
        let envelope = event.envelope
        try await database.transaction { transaction in
            let letter = DeadLetterRow(
                stage: stage.name, eventID: envelope.id, rootID: envelope.rootID, topic: envelope.type.rawValue,
                key: Array(envelope.subject.utf8), headers: event.headers, body: event.body, code: reason.code,
                message: reason.message, tries: 1)
            guard let filed = try await DeadLetters.file(letter, in: transaction) else { return }
            let payload = DeadLetter(letter)
            let id = EventID.derived(
                stage: stage.name, type: DeadLetter.type, subject: payload.subject,
                about: filed.about(envelope.id.rawValue))
            try await Outbox.append(
                [
                    try EncodedEvent(
                        payload, id: id, source: "/naura/\(stage.name)", time: Date(), causeID: envelope.id,
                        rootID: envelope.rootID)
                ], in: transaction)
        }
    }
}

extension Outbox {
    /// Which of `ids` went through the outbox.
    fileprivate static func known(_ ids: [EventID], in transaction: Transaction) async throws -> Set<EventID> {
        Set(
            try await transaction.query("select event_id from ledger.outbox where event_id = any(\(ids))").map {
                EventID(rawValue: try $0.get("event_id", as: String.self))
            })
    }
}
