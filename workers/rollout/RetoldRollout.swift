// The course of rollouts as history has it. What a rollout did depended on the clock and on what gateways saw, so in a copy
// nothing is decided: promotions are filed, and each step is taken from the event that told of it.

import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore

/// Files the rollout of a promoted version, unless history says that it was refused.
struct FilePromoted: Stage {
    static let name = StartRollout.name

    func handle(_ event: Event<ModelPromoted>, in work: borrowing Work) async throws {
        let promoted = event.payload
        let refusal = EventID.derived(
            stage: Self.name, type: ModelRejected.type, subject: promoted.subject, about: event.id.rawValue)
        guard try await History.event(refusal, in: work.transaction) == nil else { return }
        // Promoted by hand, it may be of a version that is told later: then its first step files it.
        _ = try await Self.file(event, in: work.transaction)
    }

    /// - Returns: false while the version is not registered.
    static func file(_ event: Event<ModelPromoted>, in transaction: Transaction) async throws -> Bool {
        let promoted = event.payload
        let model = promoted.model.rawValue
        guard let version = try await ModelVersions.find(model, promoted.version, in: transaction) else { return false }
        _ = try await StartRollout.file(event, digest: version.digest, in: transaction)
        return true
    }
}

/// A promotion was refused: nothing was written.
struct RetoldRefusal: Retelling {
    static let origins: [StageName] = [StartRollout.name]

    func apply(_ event: Event<ModelRejected>, in work: borrowing Work) async throws -> Retold { .told }
}

/// A rollout has taken a step, stands still, or has ended.
struct RetoldRollout: Retelling {
    static let origins: [StageName] = [
        StartRollout.name, WeighEvidence.name, StageName(rawValue: LookAtRollout.kind.rawValue),
    ]

    func apply(_ event: Event<RolloutChanged>, in work: borrowing Work) async throws -> Retold {
        let (changed, transaction) = (event.payload, work.transaction)
        guard let cause = event.causeID else { return .later("it answers to no promotion") }
        try await Rollouts.lock(changed.model.rawValue, in: transaction)
        guard let rollout = try await rollout(of: changed.model.rawValue, cause, in: transaction) else {
            return .later("the promotion of version \(changed.version) has not been told")
        }
        let number = try await RolloutEvidence.decisions(of: rollout.id, in: transaction) + 1
        let step = changed.state == .advanced ? rollout.step + 1 : rollout.step
        let next = EventID.derived(
            stage: StageName(rawValue: String(event.source.dropFirst(Envelope.ownSourcePrefix.count))),
            type: RolloutChanged.type, subject: rollout.model,
            about: RolloutCourse.about(rollout, step: step, changed.state, number: number))
        guard next == event.id else { return .later("an earlier step of its rollout has not been told") }
        if let missing = try await missing(for: changed, rollout, in: transaction) { return .later(missing) }
        try await write(changed, rollout, in: transaction)
        _ = try await RolloutEvidence.record(
            changed.state.rawValue, of: rollout.id, weight: changed.weight,
            evidence: RolloutCourse.Record(verdict: nil, situation: nil, reason: changed.reason), in: transaction)
        return .told
    }

    private func rollout(of model: String, _ cause: EventID, in transaction: Transaction) async throws -> Rollout? {
        if let known = try await Rollouts.find(model, cause: cause.rawValue, in: transaction) { return known }
        guard let promoted = try await History.event(cause, in: transaction),
            try await FilePromoted.file(Event(promoted), in: transaction)
        else { return nil }
        return try await Rollouts.find(model, cause: cause.rawValue, in: transaction)
    }

    /// What another rollout of the model must have done before; nil when nothing is missing.
    private func missing(
        for changed: RolloutChanged, _ rollout: Rollout, in transaction: Transaction
    ) async throws -> String? {
        guard [.started, .completed].contains(changed.state) else { return nil }
        let champion = try await Routes.current(of: rollout.model, in: transaction)?.champion
        guard champion == changed.baseline else { return "the rollout that it followed has not ended" }
        let active = try await Rollouts.active(of: rollout.model, in: transaction)
        guard active == nil || active?.id == rollout.id else { return "another rollout of \(rollout.model) runs" }
        return nil
    }

    private func write(_ changed: RolloutChanged, _ rollout: Rollout, in transaction: Transaction) async throws {
        let (word, reason) = (changed.verdict, changed.reason)
        switch changed.state {
        case .started:
            try await RolloutSteps.begin(
                rollout, beside: changed.baseline ?? 0, weight: changed.weight, reason: reason, in: transaction)
        case .advanced:
            try await RolloutSteps.advance(
                rollout, to: rollout.step + 1, weight: changed.weight, word: word, reason: reason, in: transaction)
        case .held, .resumed:
            try await Rollouts.setHeld(
                rollout.id, changed.state == .held, verdict: word, reason: reason, in: transaction)
        case .completed:
            try await RolloutSteps.complete(
                rollout, baseline: changed.baseline, word: word, reason: reason, in: transaction)
        case .superseded:
            try await RolloutSteps.end(rollout, as: .superseded, word: word, reason: reason, in: transaction)
        case .rolledBack:
            if CanaryVerdict.barring.contains(word) {
                try await BarredDigests.bar(
                    rollout.digest, of: rollout.model, reason: reason, rollout: rollout.id, in: transaction)
            }
            try await RolloutSteps.end(rollout, as: .rolledBack, word: word, reason: reason, in: transaction)
        }
    }
}
