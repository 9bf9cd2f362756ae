import Foundation
import NauraRules
import NauraStore

/// Rollouts with their weight and what they stand on.
struct RolloutCards {
    struct Card {
        let id: Int
        let model: String
        let version: Int
        let baseline: Int?
        let state: String
        let weight: String
        let weightWidth: String
        let steps: [Step]
        let verdict: String?
        let reason: String?
        let since: Moment?
        let harm: Gauge?
        let evidence: [Evidence]
        let decisions: [Decision]
    }

    /// The evidence of harm of all metrics together, against the bound at which the version is taken back.
    struct Gauge {
        let logE: String
        let bound: String
        let fill: String
        let isHarm: Bool
        let title: String
    }

    /// A weight of the plan, and whether it is behind, current or ahead.
    struct Step {
        let text: String
        let state: String
    }

    /// One metric: the arms' counts at this step, and the canary's upper bound against what is allowed.
    struct Evidence {
        let metric: String
        let canaryUnits: String
        let canaryBad: String
        let canaryShare: String
        let baselineUnits: String
        let baselineBad: String
        let baselineShare: String
        let logE: String
        let upper: String
        let allowed: String
        let fill: String
        let mark: String
        let passes: Bool
        let title: String
    }

    struct Decision {
        let verdict: String
        let weight: String
        let when: Moment
    }

    let cards: [Card]
    let isEmpty: Bool

    init(_ snapshot: LoopSnapshot) {
        cards = RolloutCards.chosen(from: snapshot.rollouts).map { RolloutCards.card($0, snapshot) }
        isEmpty = cards.isEmpty
    }

    /// The rollouts that are shown: of each model the one under way, else the last one; four at most, newest first.
    static func chosen(from rollouts: [RolloutRow]) -> [RolloutRow] {
        var byModel: [String: RolloutRow] = [:]
        for rollout in rollouts {
            let isOpen = ["running", "held"].contains(rollout.state)
            let known = byModel[rollout.model]
            let isKnownOpen = known.map { ["running", "held"].contains($0.state) } ?? false
            if isOpen || !isKnownOpen { byModel[rollout.model] = rollout }
        }
        return Array(byModel.values.sorted { $0.id > $1.id }.prefix(4))
    }

    private static func card(_ rollout: RolloutRow, _ snapshot: LoopSnapshot) -> Card {
        let rules = snapshot.rules[rollout.id]
        let isOver = !["running", "held", "waiting"].contains(rollout.state)
        let steps = (rules?.steps ?? []).enumerated().map { index, share in
            let isDone = index < rollout.step || rollout.state == "completed"
            return Step(
                text: Format.percent(share),
                state: isDone ? "done" : index == rollout.step && !isOver ? "current" : "ahead")
        }
        let rows = snapshot.evidence.filter { $0.rollout == rollout.id }
        let policy = rules ?? RolloutPolicy()
        let verdict = judged(rows, rollout, policy)
        return Card(
            id: rollout.id, model: rollout.model, version: rollout.version, baseline: rollout.baseline,
            state: rollout.state, weight: Format.percent(rollout.weight),
            weightWidth: Format.coordinate(max(0, min(1, rollout.weight)) * 100), steps: steps,
            verdict: rollout.verdict.isEmpty ? nil : rollout.verdict,
            reason: rollout.reason.isEmpty ? nil : rollout.reason,
            since: Moment(rollout.endedAt ?? rollout.stepStartedAt ?? rollout.createdAt),
            harm: rows.isEmpty ? nil : gauge(verdict.logHarm, bound: -log(policy.harmAlpha)),
            evidence: rows.map { evidence($0, verdict) },
            decisions: snapshot.decisions.filter { $0.rollout == rollout.id }.suffix(5).reversed().map {
                Decision(verdict: $0.verdict, weight: Format.percent($0.weight), when: Moment($0.decidedAt))
            })
    }

    /// The rule's own view of the counts; only its bounds and its evidence are shown, never its action.
    private static func judged(
        _ rows: [EvidenceRow], _ rollout: RolloutRow, _ policy: RolloutPolicy
    ) -> CanaryVerdict {
        var evidence: [CanaryMetric: CanaryEvidence] = [:]
        for row in rows {
            guard let metric = CanaryMetric(rawValue: row.metric) else { continue }
            var counts = CanaryEvidence()
            counts.canaryUnits = row.canaryUnits
            counts.canaryBad = row.canaryBad
            counts.baselineUnits = row.baselineUnits
            counts.baselineBad = row.baselineBad
            do throws(RulesError) {
                counts.harm = try HarmEvidence(logTerms: row.logE)
            } catch {
                // Terms of another number of alternatives, from another version: no evidence is shown.
            }
            evidence[metric] = counts
        }
        let situation = CanarySituation(
            step: rollout.step, weight: rollout.weight, evidence: evidence, secondsInStep: 0, secondsSinceTelemetry: 0)
        return CanaryRule.judge(situation, policy: policy)
    }

    private static func gauge(_ logHarm: Double, bound: Double) -> Gauge {
        // Drawn from −bound to bound; less evidence than that is no more telling.
        let share = max(0, min(1, (logHarm + bound) / (2 * bound)))
        let (shown, limit) = (Format.signed(logHarm, 2), Format.decimal(bound, 2))
        return Gauge(
            logE: shown, bound: limit, fill: Format.coordinate(share * 100), isHarm: logHarm >= bound,
            title: "evidence of harm: log e \(shown); the version is taken back at \(limit)")
    }

    private static func evidence(_ row: EvidenceRow, _ verdict: CanaryVerdict) -> Evidence {
        let metric = CanaryMetric(rawValue: row.metric)
        let bounds = metric.flatMap { verdict.bounds[$0] }
        let (upper, allowed) = (bounds?.canaryUpper ?? 1, bounds?.allowed ?? 0)
        let scale = max(upper, allowed, 1e-6) * 1.15
        func ratio(_ bad: Int, _ units: Int) -> String {
            units > 0 ? Format.percent(Double(bad) / Double(units)) : "–"
        }
        let logE = row.logE.isEmpty ? 0 : logMean(row.logE)
        return Evidence(
            metric: row.metric, canaryUnits: Format.count(row.canaryUnits), canaryBad: Format.count(row.canaryBad),
            canaryShare: ratio(row.canaryBad, row.canaryUnits), baselineUnits: Format.count(row.baselineUnits),
            baselineBad: Format.count(row.baselineBad), baselineShare: ratio(row.baselineBad, row.baselineUnits),
            logE: Format.signed(logE, 2), upper: Format.percent(upper), allowed: Format.percent(allowed),
            fill: Format.coordinate(upper / scale * 100), mark: Format.coordinate(allowed / scale * 100),
            passes: bounds?.passes == true,
            title: "\(row.metric): the canary's share is at most \(Format.percent(upper)); "
                + "\(Format.percent(allowed)) is allowed")
    }

    /// ln of the mean of the alternatives' e-values, so that neither end overflows.
    private static func logMean(_ terms: [Double]) -> Double {
        let greatest = terms.max() ?? 0
        return greatest + log(terms.map { exp($0 - greatest) }.reduce(0, +) / Double(terms.count))
    }
}
