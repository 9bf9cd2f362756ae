import NauraStore

/// How what an event set going has ended.
enum ChainOutcome: Sendable, Equatable {
    /// A version that came of it answers everyone, and a gateway serves it.
    case promoted(String)
    /// A version passed the gate and waits for a person, for only a backfill asked for it.
    case passed(String)
    /// All is well, and nothing had to be done.
    case nothingToDo(String)
    /// Something was refused, taken back or failed for good.
    case rejected(String)

    /// The outcome of several branches: a rejection weighs more than a promotion, that more than a version that
    /// waits, and that more than nothing to do.
    static func combined(_ outcomes: [ChainOutcome]) -> ChainOutcome {
        let rejections = outcomes.compactMap { if case .rejected(let why) = $0 { why } else { nil } }
        if !rejections.isEmpty { return .rejected(rejections.joined(separator: "; ")) }
        let promotions = outcomes.compactMap { if case .promoted(let what) = $0 { what } else { nil } }
        if !promotions.isEmpty { return .promoted(promotions.joined(separator: "; ")) }
        let passes = outcomes.compactMap { if case .passed(let what) = $0 { what } else { nil } }
        if !passes.isEmpty { return .passed(passes.joined(separator: "; ")) }
        let reasons = outcomes.compactMap { if case .nothingToDo(let why) = $0 { why } else { nil } }
        return .nothingToDo(reasons.joined(separator: "; "))
    }

    /// The outcome of one branch; nil while it goes on.
    static func of(_ branch: ChainBranch) -> ChainOutcome? {
        guard let training = branch.training else { return nil }
        switch training.state {
        case "failed": return .rejected("\(branch.model): training failed: \(training.reason ?? "no reason on record")")
        case "unchanged":
            return .nothingToDo("\(branch.model): unchanged: \(training.reason ?? "same data, code and parameters")")
        default: break
        }
        guard let verdict = branch.verdict else { return nil }
        let name = training.version.map { "\(branch.model) version \($0)" } ?? branch.model
        switch verdict.verdict {
        case "unchanged": return .nothingToDo("\(name): unchanged: \(verdict.reason)")
        case "rejected", "cannot-judge": return .rejected("\(name): \(verdict.verdict): \(verdict.reason)")
        default: break
        }
        guard branch.rollout == nil, training.isBackfill, let version = training.version else {
            return branch.rollout.flatMap(of)
        }
        return .passed(
            "\(name) passed the gate (\(verdict.reason)); only a backfill asked for it, so it waits for "
                + "`naura models promote \(branch.model) \(version)`")
    }

    /// The outcome of a rollout; nil while it goes on, or no gateway serves it yet.
    static func of(_ rollout: ChainRollout) -> ChainOutcome? {
        let name = "\(rollout.model) version \(rollout.version)"
        let why = rollout.reason.isEmpty ? rollout.verdict : rollout.reason
        switch rollout.state {
        case "completed": return rollout.isServed ? .promoted("\(name) answers everyone") : nil
        case "rolled-back": return .rejected("\(name): rolled back: \(why)")
        case "superseded": return .rejected("\(name): superseded: \(why)")
        default: return nil
        }
    }
}
