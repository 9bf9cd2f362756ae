/// The same frozen rows, scored by the candidate and by the models it is compared with. One value a row everywhere.
public struct ScoredHoldout: Sendable, Equatable {
    /// Whose row it is. Rows of one entity are not independent.
    public var entities: [String]
    /// What happened.
    public var labels: [Bool]
    /// The candidate's probability of the positive class.
    public var candidate: [Double]
    /// The champion's; nil when there is none.
    public var champion: [Double]?
    /// Those of the best champion of the last 90 days, when it is not the champion; nil without one.
    public var best: [Double]?
    /// The values by which the holdout is cut into slices, by the slice column's name.
    public var slices: [String: [String]]

    public init(
        entities: [String], labels: [Bool], candidate: [Double], champion: [Double]? = nil, best: [Double]? = nil,
        slices: [String: [String]] = [:]
    ) {
        self.entities = entities
        self.labels = labels
        self.candidate = candidate
        self.champion = champion
        self.best = best
        self.slices = slices
    }
}

/// What is known of a candidate before any row is scored.
public enum CandidateStanding: Sendable, Equatable {
    /// Nothing against it.
    case new
    /// Its digest is the champion's own.
    case isChampion
    /// Its digest was taken back before, and is barred for this reason.
    case barred(reason: String)
}

/// What the gate found.
public enum PromotionVerdict: String, Codable, Sendable, CaseIterable {
    case promoted, rejected, unchanged
    /// There is too little to judge by. Never a pass.
    case cannotJudge = "cannot-judge"
}

/// One slice of the holdout, compared alone.
public struct SliceJudgement: Codable, Sendable, Equatable {
    /// The slice column.
    public var column: String
    /// The value that its rows share.
    public var value: String
    /// Its rows.
    public var rows: Int
    /// `passed`, `blocks` or `not judged`.
    public var verdict: String
    /// The comparison; nil when not judged.
    public var comparison: PairedComparison?

    public init(column: String, value: String, rows: Int, verdict: String, comparison: PairedComparison? = nil) {
        self.column = column
        self.value = value
        self.rows = rows
        self.verdict = verdict
        self.comparison = comparison
    }
}

/// The gate's verdict with everything it rests on.
public struct PromotionJudgement: Codable, Sendable, Equatable {
    /// The verdict.
    public var verdict: PromotionVerdict
    /// Why, in words with numbers.
    public var reason: String
    /// The comparison that decided: with the champion, or for a first model with the constant prediction. Nil when
    /// nothing could be compared.
    public var decisive: PairedComparison?
    /// What the candidate was compared with: `champion` or `constant prediction`.
    public var comparedWith: String
    /// All metrics, the decisive one too.
    public var comparisons: [PairedComparison]
    /// The comparison with the best champion of 90 days, where it is another one.
    public var best: PairedComparison?
    /// Each slice, by column and value.
    public var slices: [SliceJudgement]
    /// Rows judged.
    public var rows: Int
    /// Entities judged.
    public var entities: Int
    /// Entities with a positive row.
    public var positiveEntities: Int
    /// Entities with a negative row.
    public var negativeEntities: Int
    /// The seed of the bootstrap bounds.
    public var bootstrapSeed: Int
}

extension PromotionJudgement {
    /// The judgement of a candidate that could not even be scored.
    public static func unjudged(_ reason: String) -> PromotionJudgement {
        PromotionJudgement(
            verdict: .cannotJudge, reason: reason, decisive: nil, comparedWith: "nothing", comparisons: [], best: nil,
            slices: [], rows: 0, entities: 0, positiveEntities: 0, negativeEntities: 0, bootstrapSeed: 0)
    }
}

/// Whether a trained version may face traffic.
///
/// Promoted when, with 95 % confidence, it is not worse than the champion by more than the margin, nor than the best
/// champion of 90 days by more than twice the margin (small losses cannot add up), and no slice is surely worse.
public enum PromotionGate {
    /// Judges the candidate.
    public static func judge(
        _ holdout: ScoredHoldout, standing: CandidateStanding = .new, policy: PromotionPolicy
    ) -> PromotionJudgement {
        Gate(holdout: holdout, policy: policy).judge(standing)
    }
}

private struct Gate {
    let holdout: ScoredHoldout
    let policy: PromotionPolicy
    let entities: [Int]
    let positiveEntities: Int
    let negativeEntities: Int
    let baseRate: Double

    init(holdout: ScoredHoldout, policy: PromotionPolicy) {
        self.holdout = holdout
        self.policy = policy
        var numbers: [String: Int] = [:]
        entities = holdout.entities.map { entity in
            let number = numbers[entity] ?? numbers.count
            numbers[entity] = number
            return number
        }
        (positiveEntities, negativeEntities) = Self.classEntities(entities, holdout.labels)
        baseRate = Double(holdout.labels.count { $0 }) / Double(max(1, holdout.labels.count))
    }

    static func classEntities(_ entities: [Int], _ labels: [Bool]) -> (positive: Int, negative: Int) {
        var positive: Set<Int> = []
        var negative: Set<Int> = []
        for (entity, label) in zip(entities, labels) {
            if label { positive.insert(entity) } else { negative.insert(entity) }
        }
        return (positive.count, negative.count)
    }

    func judge(_ standing: CandidateStanding) -> PromotionJudgement {
        switch standing {
        case .isChampion: return verdict(.unchanged, "the package is the champion's own, byte for byte")
        case .barred(let reason): return verdict(.rejected, "its digest was taken back before and is barred: \(reason)")
        case .new: break
        }
        let lost = holdout.candidate.count { !$0.isFinite }
        if lost > 0 {
            return verdict(.rejected, "\(lost) of \(holdout.candidate.count) scores on the holdout are not numbers")
        }
        if policy.metric == .logLoss, let odd = holdout.candidate.first(where: { $0 < 0 || $0 > 1 }) {
            return verdict(.rejected, "a score of \(odd) is no probability, so log loss has no value")
        }
        for (found, name) in [(positiveEntities, "positive"), (negativeEntities, "negative")]
        where found < policy.entitiesMin {
            return verdict(
                .cannotJudge,
                "the holdout has \(found) entities with a \(name) label; at least \(policy.entitiesMin) are needed")
        }
        return compared()
    }

    private func compared() -> PromotionJudgement {
        let other = usable(holdout.champion) ?? constant
        let comparisons = PromotionMetric.allCases.map { compare($0, with: other) }
        guard let decisive = comparisons.first(where: { $0.metric == policy.metric }) else {
            preconditionFailure("every metric is compared")
        }
        let isFirst = holdout.champion == nil
        var judgement = verdict(.promoted, "")
        judgement.comparisons = comparisons
        judgement.decisive = decisive
        judgement.comparedWith = isFirst ? "constant prediction" : "champion"
        judgement.best = usable(holdout.best).map { compare(policy.metric, with: $0) }
        if !isFirst { judgement.slices = slices(other) }
        let (passes, reason) = isFirst ? first(decisive) : against(decisive, judgement)
        judgement.verdict = passes ? .promoted : .rejected
        judgement.reason = reason
        return judgement
    }

    private func first(_ decisive: PairedComparison) -> (Bool, String) {
        let name = policy.metric.rawValue
        let value = shown(decisive.candidate)
        if let atLeast = policy.atLeast {
            let passes = policy.metric.isGreaterBetter ? decisive.candidate >= atLeast : decisive.candidate <= atLeast
            let bound = policy.metric.isGreaterBetter ? "at least" : "at most"
            return (
                passes,
                "the first model: its \(name) is \(value), and \(bound) \(shown(atLeast)) is asked for"
                    + (passes ? "" : ", so it is refused")
            )
        }
        let passes = decisive.lowerBound > 0
        return (
            passes,
            "the first model: its \(name) is \(value), the constant prediction's \(shown(decisive.other)); with 95 % "
                + "confidence it is better by more than \(shown(decisive.lowerBound))"
                + (passes ? "" : ", which is not above 0")
        )
    }

    private func against(_ decisive: PairedComparison, _ judgement: PromotionJudgement) -> (Bool, String) {
        let floor = policy.superior ? 0 : -policy.margin
        let asked = policy.superior ? "better" : "not worse by more than \(shown(policy.margin))"
        var reason =
            "\(policy.metric.rawValue) \(shown(decisive.candidate)) against the champion's \(shown(decisive.other)): "
            + "better by more than \(shown(decisive.lowerBound)) with 95 % confidence"
        guard decisive.lowerBound > floor else { return (false, reason + "; \(asked) is asked for") }
        if let best = judgement.best, best.lowerBound <= -2 * policy.margin {
            return (
                false,
                reason + "; but against the best champion of 90 days (\(shown(best.other))) it may be worse by "
                    + "\(shown(-best.lowerBound)), more than \(shown(2 * policy.margin))"
            )
        }
        if let slice = judgement.slices.first(where: { $0.verdict == "blocks" }) {
            let bound = slice.comparison.map { shown(-$0.upperBound) } ?? "?"
            return (false, reason + "; but where \(slice.column) is \(slice.value) it is worse by more than \(bound)")
        }
        let small = judgement.slices.count { $0.verdict == "not judged" }
        if small > 0 { reason += "; \(small) of \(judgement.slices.count) slices are too small to be judged" }
        return (true, reason + "; \(asked) was asked for")
    }

    private func slices(_ other: [Double]) -> [SliceJudgement] {
        var judgements: [SliceJudgement] = []
        for (column, values) in holdout.slices.sorted(by: { $0.key < $1.key }) {
            let rows = Dictionary(grouping: values.indices, by: { values[$0] })
            for (value, indices) in rows.sorted(by: { $0.key < $1.key }) {
                judgements.append(slice(column, value, indices, other))
            }
        }
        return judgements
    }

    private func slice(_ column: String, _ value: String, _ rows: [Int], _ other: [Double]) -> SliceJudgement {
        let labels = rows.map { holdout.labels[$0] }
        var numbers: [Int: Int] = [:]
        let own = rows.map { row in
            let number = numbers[entities[row]] ?? numbers.count
            numbers[entities[row]] = number
            return number
        }
        let (positive, negative) = Self.classEntities(own, labels)
        guard min(positive, negative) >= policy.entitiesMin else {
            return SliceJudgement(column: column, value: value, rows: rows.count, verdict: "not judged")
        }
        let comparison = PairedComparison.of(
            policy.metric, labels: labels, entities: own, candidate: rows.map { holdout.candidate[$0] },
            other: rows.map { other[$0] }, bootstrapSeed: policy.bootstrapSeed)
        let isWorse = comparison.upperBound < -(policy.sliceMargin ?? policy.margin)
        return SliceJudgement(
            column: column, value: value, rows: rows.count, verdict: isWorse ? "blocks" : "passed",
            comparison: comparison)
    }

    private var constant: [Double] { [Double](repeating: baseRate, count: holdout.labels.count) }

    /// A score that is no number says nothing: it counts as the constant prediction, so that a broken champion (promoted
    /// by hand, say) does not keep every successor out.
    private func usable(_ scores: [Double]?) -> [Double]? {
        scores.map { $0.map { $0.isFinite ? $0 : baseRate } }
    }

    private func compare(_ metric: PromotionMetric, with other: [Double]) -> PairedComparison {
        PairedComparison.of(
            metric, labels: holdout.labels, entities: entities, candidate: holdout.candidate, other: other,
            bootstrapSeed: policy.bootstrapSeed)
    }

    private func verdict(_ verdict: PromotionVerdict, _ reason: String) -> PromotionJudgement {
        PromotionJudgement(
            verdict: verdict, reason: reason, decisive: nil,
            comparedWith: holdout.champion == nil ? "constant prediction" : "champion", comparisons: [], best: nil,
            slices: [], rows: holdout.labels.count, entities: Set(entities).count, positiveEntities: positiveEntities,
            negativeEntities: negativeEntities, bootstrapSeed: policy.bootstrapSeed)
    }

    /// Four decimals: a ten-thousandth is finer than any holdout can tell.
    private func shown(_ value: Double) -> String {
        let rounded = (value * 10_000).rounded() / 10_000
        return String(rounded == 0 ? 0 : rounded)
    }
}
