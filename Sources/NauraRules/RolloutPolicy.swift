import Foundation

/// How traffic is shifted to a promoted version, and on what evidence it goes on, stops, or is taken back: the parameters
/// of ``CanaryRule``.
///
/// Shares and margins are fractions: 0.005 is half a point.
public struct RolloutPolicy: Codable, Sendable, Equatable {
    /// The canary's share of units at each step, rising, the last one 1.
    public var steps: [Double]
    /// The least time at each step; the last value serves all later steps.
    public var bakeSeconds: [Double]
    /// The request's column that names its unit; nil for a new unit each request.
    public var unit: String?
    /// Δ: how many more units with an error the canary may have, as a share of units.
    public var errorMargin: Double
    /// Δ for units with a slow answer.
    public var slowMargin: Double
    /// ρ: how many times the champion's share of units with an error is still no harm.
    public var errorRatio: Double
    /// ρ for slow answers.
    public var slowRatio: Double
    /// An answer later than this is slow, whichever version gave it; nil for a quarter above the champion's own 99th
    /// percentile, taken by each gateway when the rollout starts.
    public var slowSeconds: Double?
    /// α: the chance of ever taking back a version that is no worse.
    public var harmAlpha: Double
    /// β: the chance of going on, at one step, with a version that is worse than the margins allow.
    public var advanceBeta: Double
    /// The fewest canary units before a step may end; nil for ⌈ln(2/β)/Δ⌉ of the error margin.
    public var minUnits: Int?
    /// Slow answers of an arm's first units are not counted: caches fill, code is loaded.
    public var warmUpUnits: Int
    /// Slow answers within this time after a step's start are not counted.
    public var warmUpSeconds: Double
    /// How long a step may take before the rollout is held.
    public var maxStepSeconds: Double
    /// How long a rollout is held before it is taken back (without barring).
    public var holdSeconds: Double
    /// How often a gateway should be heard of; three intervals of silence hold the rollout.
    public var telemetryIntervalSeconds: Double
    /// How long a silence takes the rollout back.
    public var telemetryLostSeconds: Double
    /// The weight of errors in the combined evidence of harm.
    public var errorWeight: Double
    /// The weight of slow answers in the combined evidence of harm.
    public var slowWeight: Double

    enum CodingKeys: String, CodingKey {
        case steps, bakeSeconds, unit, errorMargin, slowMargin, errorRatio, slowRatio, slowSeconds, harmAlpha,
            advanceBeta, minUnits, warmUpUnits, warmUpSeconds, maxStepSeconds, holdSeconds, telemetryIntervalSeconds,
            telemetryLostSeconds, errorWeight, slowWeight
    }

    public init(
        steps: [Double] = [0.05, 0.25, 0.5, 1], bakeSeconds: [Double] = [600, 300], unit: String? = nil,
        errorMargin: Double = 0.005, slowMargin: Double = 0.01, errorRatio: Double = 2, slowRatio: Double = 1.5,
        slowSeconds: Double? = nil, harmAlpha: Double = 0.01, advanceBeta: Double = 0.05, minUnits: Int? = nil,
        warmUpUnits: Int = 100, warmUpSeconds: Double = 60, maxStepSeconds: Double = 86_400,
        holdSeconds: Double = 86_400, telemetryIntervalSeconds: Double = 10, telemetryLostSeconds: Double = 900,
        errorWeight: Double = 0.4, slowWeight: Double = 0.3
    ) {
        self.steps = steps
        self.bakeSeconds = bakeSeconds
        self.unit = unit
        self.errorMargin = errorMargin
        self.slowMargin = slowMargin
        self.errorRatio = errorRatio
        self.slowRatio = slowRatio
        self.slowSeconds = slowSeconds
        self.harmAlpha = harmAlpha
        self.advanceBeta = advanceBeta
        self.minUnits = minUnits
        self.warmUpUnits = warmUpUnits
        self.warmUpSeconds = warmUpSeconds
        self.maxStepSeconds = maxStepSeconds
        self.holdSeconds = holdSeconds
        self.telemetryIntervalSeconds = telemetryIntervalSeconds
        self.telemetryLostSeconds = telemetryLostSeconds
        self.errorWeight = errorWeight
        self.slowWeight = slowWeight
    }

    /// The canary's share at `step` (from 0); 1 after the last.
    public func weight(at step: Int) -> Double { step < steps.count ? steps[step] : 1 }

    /// The least time at `step` (from 0).
    public func bake(at step: Int) -> Double { bakeSeconds.isEmpty ? 0 : bakeSeconds[min(step, bakeSeconds.count - 1)] }

    /// The fewest canary units before a step may end.
    public var unitsMin: Int { minUnits ?? Int((log(2 / advanceBeta) / errorMargin).rounded(.up)) }

    /// Whether the version takes all traffic at once, without a canary.
    public var isImmediate: Bool { weight(at: 0) >= 1 }
}
