// What the gate once found, taken from its events.

import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

/// A version has passed the gate.
struct RetoldPromotion: Retelling {
    static let origins: [StageName] = ["evaluate"]

    func apply(_ event: Event<ModelPromoted>, in work: borrowing Work) async throws -> Retold {
        let promoted = event.payload
        return try await record(
            promoted.evaluation, of: promoted.model, promoted.version, champion: promoted.champion,
            reason: promoted.reason, passed: true, in: work)
    }
}

/// A version was refused by the gate, or could not be judged.
struct RetoldRejection: Retelling {
    static let origins: [StageName] = ["evaluate"]

    func apply(_ event: Event<ModelRejected>, in work: borrowing Work) async throws -> Retold {
        let rejected = event.payload
        return try await record(
            rejected.evaluation, of: rejected.model, rejected.version, champion: rejected.champion,
            reason: rejected.reason, passed: false, in: work)
    }
}

private func record(
    _ summary: EvaluationSummary?, of model: ModelID, _ version: Int, champion: Int?, reason: String?, passed: Bool,
    in work: borrowing Work
) async throws -> Retold {
    let (name, transaction) = (model.rawValue, work.transaction)
    guard try await ModelVersions.find(name, version, in: transaction) != nil else {
        return .later("version \(version) of \(model) has not been trained")
    }
    let job = try await Jobs.reserveID(in: transaction)
    if let summary, let metric = PromotionMetric(rawValue: summary.metric),
        let verdict = PromotionVerdict(rawValue: summary.verdict)
    {
        try await Evaluations.record(
            EvaluationFigures(
                verdict: verdict, reason: summary.reason, metric: metric, candidate: summary.candidate,
                champion: summary.championScore, difference: summary.difference, lowerBound: summary.lower,
                upperBound: summary.upper, rows: summary.holdoutRows ?? 0, entities: summary.holdoutEntities ?? 0),
            model: name, version: version, champion: champion, report: summary, job: job, in: transaction)
    } else {
        let policy =
            try await DefinedModels.all(in: transaction).first { $0.name == name }?.promote ?? PromotionPolicy()
        try await Evaluations.record(
            .unjudged(reason ?? ""), model: name, version: version, champion: champion, metric: policy.metric, job: job,
            in: transaction)
    }
    try await ModelVersions.judge(name, version, passed: passed, in: transaction)
    return .told
}
