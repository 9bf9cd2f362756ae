import Foundation
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
        let evidence: [Evidence]
        let decisions: [Decision]
    }

    /// A weight of the plan, and whether it is behind, current or ahead.
    struct Step {
        let text: String
        let state: String
    }

    /// One metric: the arms' counts, and the evidence of harm against its bound.
    struct Evidence {
        let metric: String
        let canaryUnits: String
        let canaryBad: String
        let canaryShare: String
        let baselineUnits: String
        let baselineBad: String
        let baselineShare: String
        let logE: String
        let bound: String
        let fill: String
        let zero: String
        let isHarm: Bool
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
        let alpha = rules?.harmAlpha ?? 0.01
        return Card(
            id: rollout.id, model: rollout.model, version: rollout.version, baseline: rollout.baseline,
            state: rollout.state, weight: Format.percent(rollout.weight),
            weightWidth: Format.coordinate(max(0, min(1, rollout.weight)) * 100), steps: steps,
            verdict: rollout.verdict.isEmpty ? nil : rollout.verdict,
            reason: rollout.reason.isEmpty ? nil : rollout.reason,
            since: Moment(rollout.endedAt ?? rollout.stepStartedAt ?? rollout.createdAt),
            evidence: snapshot.evidence.filter { $0.rollout == rollout.id }.map { evidence($0, alpha: alpha) },
            decisions: snapshot.decisions.filter { $0.rollout == rollout.id }.suffix(5).reversed().map {
                Decision(verdict: $0.verdict, weight: Format.percent($0.weight), when: Moment($0.decidedAt))
            })
    }

    private static func evidence(_ row: EvidenceRow, alpha: Double) -> Evidence {
        // The e-value is the mean over the alternatives; in logs, so that neither end overflows.
        let greatest = row.logE.max() ?? 0
        let mean = row.logE.map { exp($0 - greatest) }.reduce(0, +) / Double(max(1, row.logE.count))
        let logE = row.logE.isEmpty ? 0 : greatest + log(mean)
        let bound = log(1 / max(alpha, 1e-9))
        // Drawn from −bound to bound; less evidence than that is no more telling.
        let share = max(0, min(1, (logE + bound) / (2 * bound)))
        func ratio(_ bad: Int, _ units: Int) -> String {
            units > 0 ? Format.percent(Double(bad) / Double(units)) : "–"
        }
        let logText = Format.signed(logE, 2)
        return Evidence(
            metric: row.metric, canaryUnits: Format.count(row.canaryUnits), canaryBad: Format.count(row.canaryBad),
            canaryShare: ratio(row.canaryBad, row.canaryUnits), baselineUnits: Format.count(row.baselineUnits),
            baselineBad: Format.count(row.baselineBad), baselineShare: ratio(row.baselineBad, row.baselineUnits),
            logE: logText, bound: Format.decimal(bound, 2), fill: Format.coordinate(share * 100), zero: "50",
            isHarm: logE >= bound,
            title: "evidence of harm by \(row.metric): log e \(logText); taken back at \(Format.decimal(bound, 2))")
    }
}
