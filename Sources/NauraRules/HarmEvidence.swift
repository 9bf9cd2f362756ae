import Foundation

/// In which way an answer can be bad.
public enum CanaryMetric: String, Codable, Sendable, CaseIterable, CodingKeyRepresentable {
    /// No answer, or one that is no answer: a failure, a time-out, an output that is no number.
    case error
    /// An answer that came too late.
    case slow
}

/// The evidence that a canary harms, for one metric: an e-process over units' first bad events.
///
/// Given that *some* unit has its first bad event, the canary caused it with probability at most the share of units it
/// answers, if it is no worse, whatever the time of day or a shared outage does to the rate. Under that, the mean of the
/// likelihood ratios against seven worse ratios is a non-negative supermartingale: it ever reaches 1/α with probability
/// at most α, however often one looks (Ville's inequality). Hence it is never reset between steps, and only a unit's
/// *first* event counts: one broken customer that repeats is one event.
///
/// Adding an event adds one number to each of seven logarithms, so partial sums of several streams may be added up in
/// any order.
public struct HarmEvidence: Codable, Sendable, Equatable {
    /// How many times the canary's rate may be the champion's, under each alternative.
    public static let ratios: [Double] = [1.5, 2, 3, 5, 10, 30, 200]

    /// The logarithm of each alternative's likelihood ratio, in the order of ``ratios``. All 0 before any event.
    public private(set) var logTerms: [Double]

    /// No evidence yet.
    public init() {
        logTerms = [Double](repeating: 0, count: Self.ratios.count)
    }

    /// Evidence as it was stored; `logTerms` has one number a ratio.
    /// - Throws: ``RulesError`` (`shapeMismatch`) when it does not.
    public init(logTerms: [Double]) throws(RulesError) {
        guard logTerms.count == Self.ratios.count else {
            throw RulesError(.shapeMismatch, "\(Self.ratios.count) logarithms expected, found \(logTerms.count)")
        }
        self.logTerms = logTerms
    }

    /// Counts the first bad event of one unit.
    ///
    /// - Parameters:
    ///   - isCanary: whether the canary caused it.
    ///   - weight: the canary's share of units by which the request was routed, in (0, 1); at 0 or 1 the event says
    ///     nothing and is not counted. Always the weight it was routed by, never the one known later.
    public mutating func add(isCanary: Bool, weight: Double) {
        guard weight > 0, weight < 1 else { return }
        for index in Self.ratios.indices {
            // θ/w = r/(wr + 1 − w) for the canary, (1 − θ)/(1 − w) = 1/(wr + 1 − w) else.
            let ratio = Self.ratios[index]
            logTerms[index] += (isCanary ? log(ratio) : 0) - log1p(weight * (ratio - 1))
        }
    }

    /// Adds what another stream of the same rollout and metric has gathered.
    public mutating func add(_ other: HarmEvidence) {
        for index in logTerms.indices { logTerms[index] += other.logTerms[index] }
    }

    /// ln E: the logarithm of the mean over all alternatives.
    public var logValue: Double {
        Numerics.logSumExp(logTerms) - log(Double(Self.ratios.count))
    }

    /// ln of the weighted mean of all metrics' values; the weight that no metric takes stays at 1 ("no evidence").
    ///
    /// A mean of e-processes is an e-process, so no correction for several metrics is needed.
    public static func combined(_ metrics: [(evidence: HarmEvidence, weight: Double)]) -> Double {
        let rest = 1 - metrics.reduce(0) { $0 + $1.weight }
        var terms = metrics.map { log($0.weight) + $0.evidence.logValue }
        if rest > 1e-12 { terms.append(log(rest)) }
        return Numerics.logSumExp(terms)
    }
}

/// Bounds of a rate that hold at all times at once, also when the rate changes over time.
///
/// Source: the mixture of exponential supermartingales over five values of λ; Howard, Ramdas, McAuliffe, Sekhon, *Annals
/// of Statistics* 49, 2021.
public enum ConfidenceSequence {
    static let lambdas: [Double] = [0.2, 0.4, 0.8, 1.6, 3.2]
    /// 2⁻⁴⁰ of the unit interval is finer than any count.
    static let halvings = 40

    /// The share of bad units stays below this at all times with chance 1 − `level`. 1 without any unit.
    public static func upper(bad: Int, of units: Int, level: Double) -> Double {
        guard units > 0 else { return 1 }
        var low = 0.0
        var high = 1.0
        for _ in 0..<halvings {
            let middle = (low + high) / 2
            if isRefuted(middle, bad, units, level, sign: -1) { high = middle } else { low = middle }
        }
        return high
    }

    /// The share of bad units stays above this at all times with chance 1 − `level`. 0 without any unit.
    public static func lower(bad: Int, of units: Int, level: Double) -> Double {
        guard units > 0 else { return 0 }
        var low = 0.0
        var high = 1.0
        for _ in 0..<halvings {
            let middle = (low + high) / 2
            if isRefuted(middle, bad, units, level, sign: 1) { low = middle } else { high = middle }
        }
        return low
    }

    /// λ with e^λ − 1 and e^−λ − 1.
    private static let exponents = lambdas.map { (lambda: $0, up: expm1($0), down: expm1(-$0)) }

    /// Whether the counts speak against `mean`: as too large with sign −1, as too small with sign 1.
    ///
    /// The mixture lies between its greatest term over the count of terms and its greatest term; nearly always that
    /// decides, and no exponential is needed.
    private static func isRefuted(_ mean: Double, _ bad: Int, _ units: Int, _ level: Double, sign: Double) -> Bool {
        let limit = -log(level) + log(Double(lambdas.count))
        var greatest = -Double.infinity
        func term(_ exponent: (lambda: Double, up: Double, down: Double)) -> Double {
            sign * exponent.lambda * Double(bad)
                - Double(units) * log1p(mean * (sign > 0 ? exponent.up : exponent.down))
        }
        for exponent in exponents { greatest = max(greatest, term(exponent)) }
        if greatest >= limit { return true }
        if greatest < limit - log(Double(lambdas.count)) { return false }
        return exponents.reduce(0) { $0 + exp(term($1) - limit) } >= 1
    }
}
