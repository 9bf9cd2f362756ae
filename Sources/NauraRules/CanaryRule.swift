import Foundation

/// What is known of one metric of a running rollout.
public struct CanaryEvidence: Codable, Sendable, Equatable {
    /// The canary's units at this step, each counted once.
    public var canaryUnits: Int
    /// Those of them with a bad event at this step.
    public var canaryBad: Int
    /// The champion's units at this step.
    public var baselineUnits: Int
    /// Those of them with a bad event at this step.
    public var baselineBad: Int
    /// Evidence of harm, over all steps.
    public var harm: HarmEvidence

    public init(
        canaryUnits: Int = 0, canaryBad: Int = 0, baselineUnits: Int = 0, baselineBad: Int = 0,
        harm: HarmEvidence = HarmEvidence()
    ) {
        self.canaryUnits = canaryUnits
        self.canaryBad = canaryBad
        self.baselineUnits = baselineUnits
        self.baselineBad = baselineBad
        self.harm = harm
    }

    /// Starts the next step: units and bad units from zero, the evidence of harm goes on.
    public mutating func startStep() {
        self = CanaryEvidence(harm: harm)
    }
}

/// A running or held rollout at one moment: all that a decision may rest on.
public struct CanarySituation: Codable, Sendable, Equatable {
    /// The step, from 0.
    public var step: Int
    /// The canary's share of units at this step.
    public var weight: Double
    /// What is known of each metric.
    public var evidence: [CanaryMetric: CanaryEvidence]
    /// Since the step began.
    public var secondsInStep: Double
    /// Since any gateway was heard of.
    public var secondsSinceTelemetry: Double
    /// Since the rollout was held; nil while it runs.
    public var secondsHeld: Double?
    /// What a gateway says is wrong with the canary itself, such as a package that does not load; nil when nothing.
    public var fault: String?

    public init(
        step: Int, weight: Double, evidence: [CanaryMetric: CanaryEvidence], secondsInStep: Double,
        secondsSinceTelemetry: Double, secondsHeld: Double? = nil, fault: String? = nil
    ) {
        self.step = step
        self.weight = weight
        self.evidence = evidence
        self.secondsInStep = secondsInStep
        self.secondsSinceTelemetry = secondsSinceTelemetry
        self.secondsHeld = secondsHeld
        self.fault = fault
    }
}

/// What to do with a rollout, and why.
public struct CanaryVerdict: Codable, Sendable, Equatable {
    /// What to do.
    public enum Action: String, Codable, Sendable {
        /// Stay at this weight and gather more; a held rollout goes on.
        case wait
        /// Take the next step.
        case advance
        /// Stay at this weight, and say that neither harm nor its absence is known.
        case hold
        /// Take the canary back; its digest may come again.
        case rollBack = "roll-back"
        /// Take the canary back and bar its digest: harm was shown, or it does not work.
        case rollBackAndBar = "roll-back-and-bar"
    }

    /// The words of the verdicts that bar a digest.
    public static let barring: Set<String> = ["fault", "harm"]

    /// One metric's bounds at this step.
    public struct Bounds: Codable, Sendable, Equatable {
        /// The canary's share of bad units is below this, surely enough.
        public var canaryUpper: Double
        /// The champion's is above this, surely enough.
        public var baselineLower: Double
        /// What `canaryUpper` must not exceed.
        public var allowed: Double
        /// Whether it does not.
        public var passes: Bool { canaryUpper <= allowed }

        public init(canaryUpper: Double, baselineLower: Double, allowed: Double) {
            self.canaryUpper = canaryUpper
            self.baselineLower = baselineLower
            self.allowed = allowed
        }
    }

    /// What to do.
    public var action: Action
    /// In a word: `harm`, `fault`, `telemetry-lost`, `telemetry-missing`, `held-too-long`, `no-harm`, `undecided`, `bake`,
    /// `units`, `margin`.
    public var word: String
    /// Why, in words with numbers.
    public var reason: String
    /// ln E of all metrics together; a rollback at ln(1/α).
    public var logHarm: Double
    /// Each metric's bounds.
    public var bounds: [CanaryMetric: Bounds]

    public init(action: Action, word: String, reason: String, logHarm: Double, bounds: [CanaryMetric: Bounds]) {
        self.action = action
        self.word = word
        self.reason = reason
        self.logHarm = logHarm
        self.bounds = bounds
    }
}

/// Whether a canary goes on, stays, or is taken back: two e-processes and a hold.
///
/// Taken back at once when the evidence of harm reaches 1/α. Goes on when, for every metric, the canary's upper bound is
/// within the margins of the champion's lower bound, enough units were seen and the bake time is over. In between it
/// waits, and when the step's time is up it is held: silence and doubt are never a pass, and never harm either.
public enum CanaryRule {
    /// The verdict on `situation`. Asked as often as one likes: the error rates hold at any number of looks.
    public static func judge(_ situation: CanarySituation, policy: RolloutPolicy) -> CanaryVerdict {
        let evidence = CanaryMetric.allCases.map { ($0, situation.evidence[$0] ?? CanaryEvidence()) }
        let logHarm = HarmEvidence.combined(evidence.map { ($0.1.harm, policy.harmWeight($0.0)) })
        var bounds: [CanaryMetric: CanaryVerdict.Bounds] = [:]
        for (metric, counts) in evidence { bounds[metric] = self.bounds(counts, metric, policy) }
        let (action, word, reason) = decide(situation, logHarm, bounds, policy)
        return CanaryVerdict(action: action, word: word, reason: reason, logHarm: logHarm, bounds: bounds)
    }

    private static func bounds(
        _ counts: CanaryEvidence, _ metric: CanaryMetric, _ policy: RolloutPolicy
    ) -> CanaryVerdict.Bounds {
        let upper = ConfidenceSequence.upper(
            bad: counts.canaryBad, of: counts.canaryUnits, level: 0.8 * policy.advanceBeta)
        let lower = ConfidenceSequence.lower(
            bad: counts.baselineBad, of: counts.baselineUnits, level: 0.2 * policy.advanceBeta)
        return CanaryVerdict.Bounds(
            canaryUpper: upper, baselineLower: lower,
            allowed: max(policy.ratio(metric) * lower, lower + policy.margin(metric)))
    }

    private static func decide(
        _ situation: CanarySituation, _ logHarm: Double, _ bounds: [CanaryMetric: CanaryVerdict.Bounds],
        _ policy: RolloutPolicy
    ) -> (CanaryVerdict.Action, String, String) {
        if let fault = situation.fault { return (.rollBackAndBar, "fault", "the canary does not work: \(fault)") }
        if logHarm >= -log(policy.harmAlpha) { return (.rollBackAndBar, "harm", harm(situation, logHarm, policy)) }
        let silence = situation.secondsSinceTelemetry
        if silence >= policy.telemetryLostSeconds {
            return (.rollBack, "telemetry-lost", "no gateway was heard of for \(Int(silence)) s")
        }
        if let held = situation.secondsHeld, held >= policy.holdSeconds {
            return (
                .rollBack, "held-too-long",
                "held for \(Int(held)) s without knowing whether the canary harms; it may come again"
            )
        }
        if silence >= 3 * policy.telemetryIntervalSeconds {
            return (.hold, "telemetry-missing", "no gateway was heard of for \(Int(silence)) s; never on silence")
        }
        return progress(situation, bounds, policy)
    }

    private static func progress(
        _ situation: CanarySituation, _ bounds: [CanaryMetric: CanaryVerdict.Bounds], _ policy: RolloutPolicy
    ) -> (CanaryVerdict.Action, String, String) {
        let units = situation.evidence[.error]?.canaryUnits ?? 0
        let worst = CanaryMetric.allCases.first { bounds[$0]?.passes != true }
        let isBaked = situation.secondsInStep >= policy.bake(at: situation.step)
        let missing: (String, String)?
        if units < policy.unitsMin {
            missing = ("units", "\(units) of \(policy.unitsMin) canary units seen")
        } else if let worst, let found = bounds[worst] {
            missing = (
                "margin",
                "\(worst.rawValue): the canary's share may be \(percent(found.canaryUpper)), and "
                    + "\(percent(found.allowed)) is allowed beside the champion's"
            )
        } else if !isBaked {
            missing = ("bake", "no harm so far; the step lasts \(Int(policy.bake(at: situation.step))) s at least")
        } else {
            missing = nil
        }
        guard let (word, reason) = missing else {
            return (.advance, "no-harm", "no relevant harm at \(percent(situation.weight)) after \(units) canary units")
        }
        if situation.secondsInStep >= policy.maxStepSeconds {
            return (.hold, "undecided", "\(reason), after \(Int(situation.secondsInStep)) s at this step")
        }
        return (.wait, word, reason)
    }

    private static func harm(_ situation: CanarySituation, _ logHarm: Double, _ policy: RolloutPolicy) -> String {
        let counts = CanaryMetric.allCases.compactMap { metric in
            situation.evidence[metric].map {
                "\(metric.rawValue) \($0.canaryBad) of \($0.canaryUnits) canary units against "
                    + "\($0.baselineBad) of \($0.baselineUnits)"
            }
        }
        let shown = logHarm > 20 ? "e^\(Int(logHarm))" : String(Int(exp(logHarm)))
        return "harm: the evidence is \(shown), \(Int((1 / policy.harmAlpha).rounded())) suffices; at this step "
            + counts.joined(separator: ", ")
    }

    private static func percent(_ share: Double) -> String {
        "\((share * 100_000).rounded() / 1_000) %"
    }
}

extension RolloutPolicy {
    /// The metric's weight in the combined evidence of harm.
    public func harmWeight(_ metric: CanaryMetric) -> Double {
        switch metric {
        case .error: errorWeight
        case .slow: slowWeight
        }
    }

    /// Δ: how many more bad units the canary may have, as a share.
    public func margin(_ metric: CanaryMetric) -> Double {
        switch metric {
        case .error: errorMargin
        case .slow: slowMargin
        }
    }

    /// ρ: how many times the champion's share of bad units is still no harm.
    public func ratio(_ metric: CanaryMetric) -> Double {
        switch metric {
        case .error: errorRatio
        case .slow: slowRatio
        }
    }
}
