import Foundation

/// How much better one model's scores are than another's on the same rows, with a confidence interval.
public struct PairedComparison: Codable, Sendable, Equatable {
    /// What was compared.
    public var metric: PromotionMetric
    /// The candidate's value.
    public var candidate: Double
    /// The other model's value.
    public var other: Double
    /// How much better the candidate is, in the metric's unit: positive is better, also where smaller values are.
    public var difference: Double
    /// The difference is above this with 95 % confidence (one-sided).
    public var lowerBound: Double
    /// The difference is below this with 95 % confidence (one-sided).
    public var upperBound: Double
    /// How the bounds were found: `delong` or `paired-bootstrap`.
    public var method: String

    public init(
        metric: PromotionMetric, candidate: Double, other: Double, difference: Double, lowerBound: Double,
        upperBound: Double, method: String
    ) {
        self.metric = metric
        self.candidate = candidate
        self.other = other
        self.difference = difference
        self.lowerBound = lowerBound
        self.upperBound = upperBound
        self.method = method
    }

    /// Compares on rows of which those of one entity (a small whole number per row) belong together.
    ///
    /// All arrays hold one value a row. There must be at least one row of each class, and two entities of each.
    static func of(
        _ metric: PromotionMetric, labels: [Bool], entities: [Int], candidate: [Double], other: [Double],
        bootstrapSeed: Int
    ) -> PairedComparison {
        switch metric {
        case .rocAUC:
            let result = DeLong.compare(labels: labels, entities: entities, candidate: candidate, other: other)
            let reach = Numerics.normal95 * result.variance.squareRoot()
            return PairedComparison(
                metric: metric, candidate: result.candidate, other: result.other,
                difference: result.candidate - result.other, lowerBound: result.candidate - result.other - reach,
                upperBound: result.candidate - result.other + reach, method: "delong")
        case .logLoss, .accuracy:
            let candidateRows = ScoreMetric.rows(metric, labels: labels, scores: candidate)
            let otherRows = ScoreMetric.rows(metric, labels: labels, scores: other)
            let sign = metric.isGreaterBetter ? 1.0 : -1.0
            let gains = zip(candidateRows, otherRows).map { sign * ($0 - $1) }
            let bounds = PairedBootstrap.bounds(
                ofMean: gains, entities: entities, seed: UInt64(bitPattern: Int64(bootstrapSeed)))
            return PairedComparison(
                metric: metric, candidate: ScoreMetric.mean(candidateRows), other: ScoreMetric.mean(otherRows),
                difference: ScoreMetric.mean(gains), lowerBound: bounds.lower, upperBound: bounds.upper,
                method: "paired-bootstrap")
        }
    }
}

/// Metrics that are means over rows, and the value of any metric.
public enum ScoreMetric {
    /// A probability of 0 or 1 counts as this far from it, since ln 0 has no value.
    static let probabilityMin = 1e-15

    /// The metric over all rows. NaN when there is no row, or for ROC AUC when a class is missing.
    public static func value(_ metric: PromotionMetric, labels: [Bool], scores: [Double]) -> Double {
        switch metric {
        case .rocAUC: DeLong.area(labels: labels, scores: scores)
        case .logLoss, .accuracy: mean(rows(metric, labels: labels, scores: scores))
        }
    }

    /// Each row's own log loss, or 1 where the side of 0.5 is right (0.5 itself counts as positive).
    static func rows(_ metric: PromotionMetric, labels: [Bool], scores: [Double]) -> [Double] {
        zip(labels, scores).map { label, score in
            if metric == .accuracy { return (score >= 0.5) == label ? 1 : 0 }
            let probability = min(max(label ? score : 1 - score, probabilityMin), 1)
            return -log(probability)
        }
    }

    static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
}

/// Bounds of a mean by resampling entities, each with all its rows, with replacement.
///
/// The percentile bootstrap. Source: Efron, Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.
enum PairedBootstrap {
    /// With 2,000 resamples a 5 % bound's own standard error is about a thirtieth of the mean's.
    static let resamples = 2_000

    /// One-sided 95 % bounds of the mean of `values` (not empty); `seed` makes them repeatable.
    static func bounds(ofMean values: [Double], entities: [Int], seed: UInt64) -> (lower: Double, upper: Double) {
        let count = (entities.max() ?? 0) + 1
        var sums = [Double](repeating: 0, count: count)
        var rows = [Double](repeating: 0, count: count)
        for (value, entity) in zip(values, entities) {
            sums[entity] += value
            rows[entity] += 1
        }
        var random = SplitMix64(seed: seed)
        var means: [Double] = []
        means.reserveCapacity(resamples)
        for _ in 0..<resamples {
            var sum = 0.0
            var total = 0.0
            for _ in 0..<count {
                let entity = random.nextIndex(below: count)
                sum += sums[entity]
                total += rows[entity]
            }
            if total > 0 { means.append(sum / total) }
        }
        means.sort()
        return (Numerics.quantile(0.05, ofSorted: means), Numerics.quantile(0.95, ofSorted: means))
    }
}
