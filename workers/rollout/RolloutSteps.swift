import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore

/// What a rollout's steps write in route, registry and its own row, whoever decided them: the rule, or history.
enum RolloutSteps {
    /// Gives a waiting rollout's version its first share of units, beside `champion`.
    static func begin(
        _ rollout: Rollout, beside champion: Int, weight: Double, reason: String, in transaction: Transaction
    ) async throws {
        let epoch = try await Routes.shift(
            rollout.model, to: rollout.version, weight: weight, salt: rollout.salt, rollout: rollout.id, in: transaction
        )
        try await Rollouts.begin(
            rollout.id, baseline: champion, weight: weight, epoch: epoch, reason: reason, in: transaction)
        try await Rollouts.mark(rollout.version, of: rollout.model, as: "candidate", in: transaction)
        let evidence = Dictionary(uniqueKeysWithValues: CanaryMetric.allCases.map { ($0, CanaryEvidence()) })
        try await RolloutEvidence.save(evidence, of: rollout.id, step: 0, in: transaction)
    }

    /// Gives it more.
    static func advance(
        _ rollout: Rollout, to step: Int, weight: Double, word: String, reason: String, in transaction: Transaction
    ) async throws {
        let epoch = try await Routes.shift(
            rollout.model, to: rollout.version, weight: weight, salt: rollout.salt, rollout: rollout.id, in: transaction
        )
        try await Rollouts.advance(
            rollout.id, to: step, weight: weight, epoch: epoch, verdict: word, reason: reason, in: transaction)
    }

    /// Makes it the champion.
    static func complete(
        _ rollout: Rollout, baseline: Int?, word: String, reason: String, in transaction: Transaction
    ) async throws {
        let epoch = try await Routes.crown(rollout.version, of: rollout.model, in: transaction)
        try await Rollouts.end(
            rollout.id, as: .completed, baseline: baseline, weight: 1, epoch: epoch, verdict: word, reason: reason,
            in: transaction)
    }

    /// Ends it before 100 %: the champion has answered the rest throughout, and now answers everyone.
    static func end(
        _ rollout: Rollout, as state: RolloutState, word: String, reason: String, in transaction: Transaction
    ) async throws {
        var epoch = rollout.epoch
        if rollout.state != .waiting { epoch = try await Routes.takeBack(rollout.model, in: transaction) }
        try await Rollouts.end(
            rollout.id, as: state, baseline: rollout.baseline, weight: 0, epoch: epoch, verdict: word, reason: reason,
            in: transaction)
        try await Rollouts.mark(
            rollout.version, of: rollout.model, as: state == .rolledBack ? "rolled-back" : "passed", in: transaction)
    }
}
