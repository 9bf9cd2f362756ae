import NauraEvents
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore

/// Begins the rollout of a version that passed the gate, or that a person promoted past it.
///
/// One a model at a time: beside a running rollout the newest passed version waits, a held one gives way to it. Only a
/// barred digest, and a version that nobody has registered, is refused.
struct StartRollout: Stage {
    static let name: StageName = "start-rollout"

    func handle(_ event: Event<ModelPromoted>, in work: borrowing Work) async throws {
        let promoted = event.payload
        let model = promoted.model.rawValue
        guard let version = try await ModelVersions.find(model, promoted.version, in: work.transaction) else {
            throw Rejection("model \(model) has no version \(promoted.version)", code: "unknown-version")
        }
        try await Rollouts.lock(model, in: work.transaction)
        if let reason = try await ModelVersions.barred(version.digest, of: model, in: work.transaction) {
            return try await refuse(promoted, "its digest is barred: \(reason)", in: work)
        }
        let active = try await Rollouts.active(of: model, in: work.transaction)
        let champion = try await Routes.current(of: model, in: work.transaction)?.champion
        guard champion != promoted.version else {
            return try await refuse(promoted, "the version is the champion already", in: work)
        }
        guard active?.version != promoted.version else {
            return try await refuse(promoted, "its rollout runs already", in: work)
        }
        guard try await Self.file(event, digest: version.digest, in: work.transaction) != nil else { return }
        try await RolloutCourse.makeRoom(for: promoted.version, beside: active, of: model, in: work)
    }

    /// Files the waiting rollout that `event` asks for; nil when it has one already.
    static func file(
        _ event: Event<ModelPromoted>, digest: String, in transaction: Transaction
    ) async throws -> Int? {
        let promoted = event.payload
        let model = promoted.model.rawValue
        return try await Rollouts.file(
            model: model, version: promoted.version, comparedWith: promoted.champion, digest: digest,
            policy: try await Rollouts.policy(of: model, in: transaction), actor: promoted.requestedBy ?? "naura",
            reason: promoted.reason ?? promoted.evaluation?.reason ?? "", causeID: event.id.rawValue,
            rootID: event.rootID.rawValue, traceparent: event.traceparent, in: transaction)
    }

    private func refuse(_ promoted: ModelPromoted, _ reason: String, in work: borrowing Work) async throws {
        try await work.emit(
            ModelRejected(
                model: promoted.model, version: promoted.version, champion: promoted.champion,
                requestedBy: promoted.requestedBy, reason: reason))
    }
}
