import Foundation
import Logging
import NauraData
import NauraEvents
import NauraLedger
import NauraModels
import NauraRules
import NauraStage
import NauraStore

/// Closes one window: counts its rows in the bins of the reference of the version that answered, judges, and says when
/// an alert fires or is resolved.
///
/// The windows of one model are closed one at a time, so that alerts see them in their order.
struct CloseWindow: JobRunner {
    struct Arguments: Codable, Sendable {
        let window: WindowID
    }

    static let kind: JobKind = "close-window"
    let history: PredictionHistory
    let references: References
    let logger: Logger

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let window = job.arguments.window
        let (isDue, policy, version) = try await lease.transaction { work in
            (
                try await MonitorWindows.close(window, in: work.transaction),
                try await MonitorWindows.policy(of: window.model, in: work.transaction),
                try await ModelVersions.find(window.model, window.version, in: work.transaction)
            )
        }
        guard isDue else { return try await lease.settle { _ in } }
        let measured = try await measure(window, policy, version)
        try await lease.settle { work in
            try await MonitorWindows.record(
                measured.statistics, counts: measured.counts, of: window, in: work.transaction)
            // Scores follow their inputs: while these have drifted, whether or not their alert stands yet, one for the
            // scores would only say the same once more.
            let isDataFiring = try await observe(.data, measured.statistics, window, policy, in: work)
            guard !isDataFiring, measured.statistics.isDataDrifted != true else { return }
            _ = try await observe(.prediction, measured.statistics, window, policy, in: work)
        }
    }

    // MARK: Counting

    private struct Measured {
        let statistics: WindowStatistics
        let counts: [String: [Int]]
    }

    private func measure(
        _ window: WindowID, _ policy: MonitorPolicy, _ version: ModelVersion?
    ) async throws -> Measured {
        let reference: Reference
        do {
            guard let version else {
                throw ModelFault(.malformed, "no version \(window.version) of \(window.model) is registered")
            }
            reference = try await references.reference(of: version)
        } catch let fault as ModelFault {
            return unjudged("\(fault)", window, policy)
        } catch let fault as DataFault where !fault.isTransient {
            return unjudged("\(fault)", window, policy)
        }
        var tally = WindowTally(reference)
        try await history.forEachSample(of: window) { tally.add($0) }
        return Measured(
            statistics: WindowStatistics(
                inputs: DriftVerdict.judge(tally.inputs, policy: policy),
                score: DriftVerdict.judge([tally.score], policy: policy), samples: tally.samples),
            counts: tally.counts)
    }

    /// A version without a readable reference cannot be judged, which is no pass and no alert.
    private func unjudged(_ fault: String, _ window: WindowID, _ policy: MonitorPolicy) -> Measured {
        logger.warning(
            "a window cannot be judged",
            metadata: ["model": "\(window.model)", "window": "\(window.about)", "error": "\(fault)"])
        let nothing = DriftVerdict.judge([], policy: policy)
        return Measured(
            statistics: WindowStatistics(inputs: nothing, score: nothing, samples: 0, fault: fault), counts: [:])
    }

    // MARK: Alerts

    /// Lets the alert of `kind` see the window.
    /// - Returns: whether it stands afterwards.
    private func observe(
        _ kind: AlertKind, _ statistics: WindowStatistics, _ window: WindowID, _ policy: MonitorPolicy,
        in work: borrowing Work
    ) async throws -> Bool {
        let verdict = kind == .data ? statistics.isDataDrifted : statistics.isPredictionDrifted
        let isFiring = try await Alerts.isFiring(kind, model: window.model, in: work.transaction)
        guard verdict != nil else { return isFiring }
        let windowsMax = max(policy.fireAfterWindows, policy.resolveAfterWindows, 1)
        // This window's own verdict is on record by now, so the standing is told without it.
        var standing = try await MonitorWindows.standing(
            of: kind, before: window, limit: windowsMax, in: work.transaction)
        let change = standing.observe(verdict, policy: policy)
        let columns = statistics.columns.filter { column in
            column.isDrifted == true && (column.name == "score") == (kind == .prediction)
        }
        switch change {
        case .fired:
            let event = try await work.emit(
                DriftAlert(kind, window, columns, of: statistics, state: .firing),
                about: "\(window.about)/\(kind)/firing")
            try await Alerts.open(
                kind, window: window, columns: columns, standing: standing, event: event.rawValue, in: work.transaction)
        case .resolved:
            try await work.emit(
                DriftAlert(kind, window, columns, of: statistics, state: .resolved),
                about: "\(window.about)/\(kind)/resolved")
            try await Alerts.update(
                kind, model: window.model, standing: standing, isResolved: true, in: work.transaction)
        case nil:
            try await Alerts.update(
                kind, model: window.model, standing: standing, isResolved: false, in: work.transaction)
        }
        return standing.isFiring
    }
}

extension DriftAlert {
    fileprivate init(
        _ kind: AlertKind, _ window: WindowID, _ columns: [WindowStatistics.Column], of statistics: WindowStatistics,
        state: State
    ) {
        let sorted = columns.sorted { ($1.statistic, $0.name) < ($0.statistic, $1.name) }
        let subject = kind == .data ? "the inputs" : "the scores"
        let judged = statistics.columns.count { $0.isDrifted != nil && $0.name != "score" }
        let names = sorted.prefix(5).map(\.name).joined(separator: ", ") + (sorted.count > 5 ? ", …" : "")
        let reason =
            switch (state, kind) {
            case (.firing, .data):
                "\(columns.count) of \(judged) columns have moved away from the training data: \(names)"
            case (.firing, .prediction): "the scores have moved away from those of the training data"
            case (.resolved, _): "\(subject) look like the training data again"
            }
        self.init(
            model: ModelID(rawValue: window.model), version: window.version, kind: kind == .data ? .data : .prediction,
            window: TimeWindow(from: window.start, to: window.end),
            columns: sorted.map {
                Column(
                    name: $0.name, method: $0.method, statistic: $0.statistic, threshold: $0.threshold, pValue: $0.p)
            }, state: state, reason: reason)
    }
}

/// Counts samples in the bins of a reference.
struct WindowTally {
    private let reference: Reference
    private var inputCounts: [[Int]]
    private var scoreCounts: [Int]
    private(set) var samples = 0

    init(_ reference: Reference) {
        self.reference = reference
        inputCounts = reference.columns.map { [Int](repeating: 0, count: $0.binCount) }
        scoreCounts = [Int](repeating: 0, count: reference.scores.binCount)
    }

    mutating func add(_ sample: PredictionSample) {
        samples += 1
        for (index, column) in reference.columns.enumerated() {
            inputCounts[index][column.bin(of: sample.features[column.name] ?? .null)] += 1
        }
        scoreCounts[reference.scores.bin(of: sample.score.map(CellValue.number) ?? .null)] += 1
    }

    var inputs: [ColumnCounts] {
        zip(reference.columns, inputCounts).map { ColumnCounts(name: $0.name, reference: $0.counts, current: $1) }
    }

    var score: ColumnCounts {
        ColumnCounts(name: "score", reference: reference.scores.counts, current: scoreCounts)
    }

    /// By column, the score as `score`.
    var counts: [String: [Int]] {
        var counts = Dictionary(zip(reference.columns.map(\.name), inputCounts)) { first, _ in first }
        counts["score"] = scoreCounts
        return counts
    }
}
