import NauraEvents
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore

/// Adds what a gateway saw to the evidence of a rollout, and acts on the verdict at once.
struct WeighEvidence: Stage {
    static let name: StageName = "weigh-evidence"

    func handle(_ event: Event<ServingWindow>, in work: borrowing Work) async throws {
        let window = event.payload
        guard let id = window.rollout,
            let rollout = try await Rollouts.find(Int(id), in: work.transaction),
            rollout.model == window.model.rawValue, rollout.state == .running || rollout.state == .held,
            let step = step(of: window, in: rollout)
        else { return }
        var evidence = try await RolloutEvidence.current(of: rollout.id, step: rollout.step, in: work.transaction)
        let isWarm = isWarm(rollout, evidence)
        let counted = CanaryMetric.allCases.filter { $0 != .slow || isWarm }
        if step == rollout.step {
            for arm in window.arms {
                let units = try await RolloutEvidence.addUnits(
                    arm.newUnits, of: rollout.id, step: step, in: work.transaction)
                for metric in counted {
                    if arm.arm == .canary {
                        evidence[metric, default: CanaryEvidence()].canaryUnits += units
                    } else {
                        evidence[metric, default: CanaryEvidence()].baselineUnits += units
                    }
                }
            }
        }
        let bad = window.arms.flatMap { arm in
            arm.firstBad.compactMap { bad in
                CanaryMetric(rawValue: bad.metric.rawValue).map {
                    BadUnit(
                        metric: $0, unit: bad.unit, isCanary: arm.arm == .canary, weight: window.weight, at: bad.at)
                }
            }
        }.filter { counted.contains($0.metric) }
        let new = try await RolloutEvidence.addBad(bad, of: rollout.id, step: step, in: work.transaction)
        count(new, isCurrentStep: step == rollout.step, in: &evidence)
        try await RolloutEvidence.save(evidence, of: rollout.id, step: rollout.step, in: work.transaction)
        try await RolloutCourse.decide(rollout, evidence, isHeard: true, in: work)
    }

    /// The step by whose weight the window was routed: the rollout's own or, just after a step, the one before it.
    ///
    /// Anything older says nothing: gateways follow a new route within a second, and the harm rule needs the weight that
    /// a request was really routed by.
    private func step(of window: ServingWindow, in rollout: Rollout) -> Int? {
        guard window.canaryVersion == nil || window.canaryVersion == rollout.version else { return nil }
        let behind = rollout.epoch - window.epoch
        guard behind == 0 || (behind == 1 && rollout.step > 0) else { return nil }
        let step = rollout.step - Int(behind)
        return abs(rollout.policy.weight(at: step) - window.weight) < 1e-9 ? step : nil
    }

    /// Whether slow answers count yet: in the first step the canary's first units fill its caches. Both arms are counted
    /// from the same moment on, so that neither gains by it.
    private func isWarm(_ rollout: Rollout, _ evidence: [CanaryMetric: CanaryEvidence]) -> Bool {
        rollout.step > 0 || rollout.secondsInStep >= rollout.policy.warmUpSeconds
            || (evidence[.error]?.canaryUnits ?? 0) >= rollout.policy.warmUpUnits
    }

    private func count(
        _ new: [NewBadUnit], isCurrentStep: Bool, in evidence: inout [CanaryMetric: CanaryEvidence]
    ) {
        for unit in new {
            var counts = evidence[unit.bad.metric] ?? CanaryEvidence()
            if unit.isFirst { counts.harm.add(isCanary: unit.bad.isCanary, weight: unit.bad.weight) }
            if isCurrentStep {
                if unit.bad.isCanary { counts.canaryBad += 1 } else { counts.baselineBad += 1 }
            }
            evidence[unit.bad.metric] = counts
        }
    }
}
