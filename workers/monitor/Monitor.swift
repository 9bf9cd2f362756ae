// Keeps windows of what models were asked and answered, and measures how far they are from training.

import Configuration
import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

@main enum MonitorWorker {
    static func main() async {
        await Worker.run("monitor") { context in
            let artifacts = try ArtifactStore(directory: context.configuration.artifacts)
            let kept = try MonitorConfiguration(context.config).keepPredictionsSeconds
            return WorkerParts()
                .stage(WatchPredictions())
                .stage(KeepOutcomes())
                .runner(
                    CloseWindow(
                        history: PredictionHistory(context.database), references: References(artifacts),
                        logger: context.logger)
                )
                .pruning("predictions") { database, limit in
                    try await PredictionLog.prune(olderThanSeconds: kept, limit: limit, in: database)
                }
                .retelling(RetoldDrift())
        }
    }
}

/// What the monitor reads from its environment.
///
/// | variable | type | default |
/// | --- | --- | --- |
/// | `NAURA_KEEP_PREDICTIONS_SECONDS` | 10–315360000: how long answers are kept | 2592000 (30 days) |
struct MonitorConfiguration {
    let keepPredictionsSeconds: Double

    /// - Throws: ``ConfigurationFault``.
    init(_ config: ConfigReader) throws {
        let given = config.string(forKey: "keep.predictions.seconds", default: "2592000")
        guard let seconds = Double(given), (10...315_360_000).contains(seconds) else {
            throw ConfigurationFault(
                faults: ["NAURA_KEEP_PREDICTIONS_SECONDS: expected 10…315360000, found \(given)"])
        }
        keepPredictionsSeconds = seconds
    }
}

/// Keeps each answer, and files the closing of the window that it falls into.
struct WatchPredictions: Stage {
    static let name: StageName = "watch-predictions"

    /// How far an answer's time may be ahead of its event's: a client's clock an hour ahead would else close windows
    /// that are still being filled.
    private static let clockAheadMax = 300.0

    func handle(_ event: Event<Predictions>, in work: borrowing Work) async throws {
        let model = event.payload.model.rawValue
        let answers = event.payload.items.map {
            LoggedPrediction($0, noLaterThan: event.envelope.time + Self.clockAheadMax)
        }
        guard let newest = answers.map(\.at).max() else { return }
        let policy = try await MonitorWindows.policy(of: model, in: work.transaction)
        let windows = Dictionary(grouping: answers) {
            WindowID(model: model, version: $0.version, holding: $0.at, seconds: policy.windowSeconds)
        }
        var closed: Set<WindowID> = []
        for (window, rows) in windows.sorted(by: { $0.key.isBefore($1.key) }) {
            guard try await MonitorWindows.add(rows.count, to: window, in: work.transaction) else {
                closed.insert(window)
                continue
            }
            // Without newer traffic the window is closed by the clock; time passes as fast here as for the events.
            let wait = window.end.timeIntervalSince(newest) + policy.latenessSeconds
            try await file(window, after: wait, policy: .keep, in: work)
        }
        try await PredictionLog.record(
            answers, of: model,
            isLate: {
                closed.contains(
                    WindowID(model: model, version: $0.version, holding: $0.at, seconds: policy.windowSeconds))
            }, in: work.transaction)
        // Event time has passed these: they need not wait for the clock, which matters when old traffic is read again.
        for window in try await MonitorWindows.ended(
            by: newest - policy.latenessSeconds, model: model, in: work.transaction)
        {
            try await file(window, after: 0, policy: .hasten, in: work)
        }
    }

    private func file(_ window: WindowID, after seconds: Double, policy: FilePolicy, in work: borrowing Work)
        async throws
    {
        try await work.file(
            CloseWindow.kind, key: window.model, about: window.about, arguments: CloseWindow.Arguments(window: window),
            after: .seconds(max(0, seconds)), policy: policy)
    }
}

/// Keeps what turned out to be true.
struct KeepOutcomes: Stage {
    static let name: StageName = "keep-outcomes"

    func handle(_ event: Event<GroundTruth>, in work: borrowing Work) async throws {
        try await Outcomes.record(
            event.payload.items.map {
                Outcomes.Item(
                    predictionID: $0.predictionID, unit: $0.unit, at: $0.at, label: $0.label, observedAt: $0.observedAt)
            }, of: event.payload.model.rawValue, event: event.envelope.id.rawValue, in: work.transaction)
    }
}

extension LoggedPrediction {
    fileprivate init(_ item: Predictions.Item, noLaterThan limit: Date) {
        self.init(
            id: item.predictionID, version: item.version, arm: item.arm.rawValue, unit: item.unit,
            features: item.features.mapValues(CellValue.init), score: item.score, at: min(item.at, limit))
    }
}

extension CellValue {
    fileprivate init(_ value: FeatureValue) {
        switch value {
        case .null: self = .null
        case .number(let number): self = .number(number)
        case .text(let text): self = .text(text)
        }
    }
}

extension WindowID {
    /// Names the window among jobs and events: model, version, and the start in seconds since the epoch.
    var about: String { "\(model)/\(version)/\(start.timeIntervalSince1970)" }

    fileprivate func isBefore(_ other: WindowID) -> Bool { (start, version) < (other.start, other.version) }
}
