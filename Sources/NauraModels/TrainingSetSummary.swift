import NauraRules

/// What a training set holds, counted while it is written.
public struct TrainingSetSummary: Sendable {
    /// Rows in all.
    public private(set) var rows = 0
    /// Rows kept away from training.
    public private(set) var holdoutRows = 0
    /// Training rows of each label.
    public private(set) var trainingLabels: [String: Int] = [:]
    private var labels: [String: Int] = [:]

    /// Nothing counted yet.
    public init() {}

    /// Counts `row`.
    public mutating func add(_ row: TrainingRow) {
        rows += 1
        labels[row.label, default: 0] += 1
        if row.side == .holdout { holdoutRows += 1 } else { trainingLabels[row.label, default: 0] += 1 }
    }

    /// The label that counts as positive: the one that is asked for, else the rarer of the two found (of equally many
    /// the later in byte order).
    ///
    /// - Throws: ``ModelFault`` `untrainable` when no row has it, when every training row has it, or when nothing is asked
    ///   for and there are not two labels.
    public func positive(asked: String?) throws(ModelFault) -> String {
        guard rows > 0 else { throw ModelFault(.untrainable, "there are no labelled rows yet") }
        let positive = asked ?? rarer
        guard let positive else {
            let found = labels.keys.sorted(by: bytesPrecede).prefix(5).joined(separator: ", ")
            throw ModelFault(
                .untrainable,
                labels.count < 2
                    ? "all \(rows) rows have the label \(found); two labels are needed"
                    : "there are \(labels.count) labels (\(found), …); say which counts as positive")
        }
        let training = rows - holdoutRows
        let positives = trainingLabels[positive] ?? 0
        guard positives > 0, positives < training else {
            throw ModelFault(
                .untrainable,
                "of \(training) training rows \(positives) have the label \(positive); both classes are needed")
        }
        return positive
    }

    private var rarer: String? {
        guard labels.count == 2 else { return nil }
        return labels.min { $0.value != $1.value ? $0.value < $1.value : bytesPrecede($1.key, $0.key) }?.key
    }
}
