import Foundation

/// Which test or distance.
public enum DriftTest: String, Codable, Sendable, CaseIterable {
    case ks, chisquare, z, anderson, psi, jensenshannon, hellinger, wasserstein
    case kullbackLeibler = "kl_div"

    /// Whether the score is a chance (small means drift) and not a distance (large means drift).
    public var isChance: Bool {
        switch self {
        case .ks, .chisquare, .z, .anderson: true
        default: false
        }
    }

    /// The usual threshold.
    public var threshold: Double {
        switch self {
        case .ks, .chisquare, .z: 0.05
        default: 0.1
        }
    }

    /// Whether `score` means drift at `threshold`. A score that is not a number never does.
    public func isDrift(_ score: Double, threshold: Double) -> Bool {
        if self == .ks { return score <= threshold }
        return isChance ? score < threshold : score >= threshold
    }
}

/// Two samples of one column, cleaned: what a model was trained on, and what came.
public struct DriftColumn: Sendable {
    /// Sorted numbers, or texts; an integer column's bins are never narrower than 1.
    private enum Values {
        case numbers(reference: [Double], current: [Double], isInteger: Bool)
        case texts(reference: [String], current: [String])
    }

    private let values: Values

    /// Numbers, of which those that are not finite are dropped, each side alone.
    /// - Throws: ``RulesError`` (`cannotJudge`) when a side is left empty.
    public init(reference: [Double], current: [Double], isInteger: Bool = false) throws(RulesError) {
        let first = reference.filter(\.isFinite).sorted()
        let second = current.filter(\.isFinite).sorted()
        try Self.require(first.count, second.count)
        values = .numbers(reference: first, current: second, isInteger: isInteger)
    }

    /// Categories, compared byte by byte.
    /// - Throws: ``RulesError`` (`cannotJudge`) when a side is empty.
    public init(reference: [String], current: [String]) throws(RulesError) {
        try Self.require(reference.count, current.count)
        values = .texts(reference: reference, current: current)
    }

    private static func require(_ first: Int, _ second: Int) throws(RulesError) {
        if first == 0 { throw RulesError(.cannotJudge, "the reference holds no value") }
        if second == 0 { throw RulesError(.cannotJudge, "the current side holds no value") }
    }

    /// The reference's values left after cleaning.
    public var referenceCount: Int {
        switch values {
        case .numbers(let reference, _, _): reference.count
        case .texts(let reference, _): reference.count
        }
    }

    /// The current values left after cleaning.
    public var currentCount: Int {
        switch values {
        case .numbers(_, let current, _): current.count
        case .texts(_, let current): current.count
        }
    }

    /// Distinct values of both sides together.
    public var distinct: Int { categories().0.count }

    /// The test such a column gets when none is configured.
    public var defaultTest: DriftTest {
        let isLarge = referenceCount > 1_000
        if case .numbers = values, distinct > 5 { return isLarge ? .wasserstein : .ks }
        if isLarge { return .jensenshannon }
        return distinct > 2 ? .chisquare : .z
    }

    /// The score of `test`: a chance or a distance, as ``DriftTest/isChance`` says. Not a number: cannot judge.
    /// - Throws: ``RulesError`` (`cannotJudge`) for a test of numbers on texts, or one that has no value here.
    public func score(_ test: DriftTest) throws(RulesError) -> Double {
        switch test {
        case .psi:
            let (first, second) = binned()
            return DriftStatistics.psi(referenceCounts: first, currentCounts: second)
        case .kullbackLeibler:
            let (first, second) = binned()
            return DriftStatistics.kullbackLeibler(referenceCounts: first, currentCounts: second)
        case .jensenshannon:
            let (first, second) = binned()
            return DriftStatistics.jensenShannon(referenceCounts: first, currentCounts: second)
        case .hellinger:
            let (first, second) = binnedForHellinger()
            return DriftStatistics.hellinger(referenceCounts: first, currentCounts: second)
        case .chisquare:
            let (first, second) = categories()
            return DriftStatistics.chiSquareFit(referenceCounts: first, currentCounts: second).p
        case .z:
            // The first category is the smallest distinct value.
            let (first, second) = categories()
            return DriftStatistics.twoProportions(
                first: referenceCount - first[0], of: referenceCount, second: currentCount - second[0], of: currentCount
            )
        case .ks:
            let (reference, current) = try numbers(test)
            return KolmogorovSmirnov.test(sortedReference: reference, sortedCurrent: current).p
        case .wasserstein:
            let (reference, current) = try numbers(test)
            return DriftStatistics.wasserstein(sortedReference: reference, sortedCurrent: current)
        case .anderson:
            let (reference, current) = try numbers(test)
            return try DriftStatistics.andersonDarling(sortedReference: reference, sortedCurrent: current).p
        }
    }

    private func numbers(_ test: DriftTest) throws(RulesError) -> ([Double], [Double]) {
        guard case .numbers(let reference, let current, _) = values else {
            throw RulesError(.cannotJudge, "\(test.rawValue) needs numbers")
        }
        return (reference, current)
    }

    /// Counts per distinct value of either side, smallest value first (texts in byte order).
    private func categories() -> ([Int], [Int]) {
        switch values {
        case .numbers(let reference, let current, _):
            return Self.count(reference.map { CellValue.number($0) }, current.map { CellValue.number($0) }) {
                ($0.number ?? 0) < ($1.number ?? 0)
            }
        case .texts(let reference, let current):
            return Self.count(reference.map { CellValue.text($0) }, current.map { CellValue.text($0) }) {
                ($0.text ?? "").utf8.lexicographicallyPrecedes(($1.text ?? "").utf8)
            }
        }
    }

    private static func count(
        _ reference: [CellValue], _ current: [CellValue], _ isBefore: (CellValue, CellValue) -> Bool
    ) -> ([Int], [Int]) {
        var counts: [CellValue: (Int, Int)] = [:]
        for value in reference { counts[value, default: (0, 0)].0 += 1 }
        for value in current { counts[value, default: (0, 0)].1 += 1 }
        let sorted = counts.sorted { isBefore($0.key, $1.key) }
        return (sorted.map(\.value.0), sorted.map(\.value.1))
    }

    /// Equal-width bins over both sides where the reference has more than 20 distinct numbers, else categories.
    private func binned() -> ([Int], [Int]) {
        guard case .numbers(let reference, let current, let isInteger) = values,
            Self.distinct(reference) > 20
        else { return categories() }
        return Self.equalWidth(reference, current, isInteger, pooled: reference.count + current.count)
    }

    /// As ``binned()``, but numbers always in bins, whose number follows from the distinct values.
    private func binnedForHellinger() -> ([Int], [Int]) {
        guard case .numbers(let reference, let current, let isInteger) = values else { return categories() }
        return Self.equalWidth(reference, current, isInteger, pooled: Self.distinct((reference + current).sorted()))
    }

    private static func distinct(_ sorted: [Double]) -> Int {
        zip(sorted, sorted.dropFirst()).count { $0 != $1 } + (sorted.isEmpty ? 0 : 1)
    }

    /// Sturges' bins. Exactly these operations: at powers of two the logarithm is whole, and rounding decides the count.
    private static func equalWidth(
        _ reference: [Double], _ current: [Double], _ isInteger: Bool, pooled: Int
    ) -> ([Int], [Int]) {
        let low = min(reference[0], current[0])
        let high = max(reference[reference.count - 1], current[current.count - 1])
        guard low < high else { return ([reference.count], [current.count]) }
        var width = (high - low) / (log2(Double(pooled)) + 1)
        if isInteger { width = max(width, 1) }
        let count = max(1, Int(((high - low) / width).rounded(.up)))
        let step = (high - low) / Double(count)
        var edges = (0..<count).map { low + Double($0) * step }
        edges.append(high)
        return (histogram(reference, edges), histogram(current, edges))
    }

    /// Bins closed on the left and open on the right, the last closed on both; `sorted` lies within the edges.
    private static func histogram(_ sorted: [Double], _ edges: [Double]) -> [Int] {
        var counts = [Int](repeating: 0, count: edges.count - 1)
        var bin = 0
        for value in sorted {
            while bin < counts.count - 1, value >= edges[bin + 1] { bin += 1 }
            counts[bin] += 1
        }
        return counts
    }
}
