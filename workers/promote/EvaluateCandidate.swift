import NauraData
import NauraEvents
import NauraLedger
import NauraModels
import NauraRules
import NauraStage
import NauraStore

/// Scores a candidate, the champion and the best champion of 90 days on the candidate's frozen holdout, and judges.
struct EvaluateCandidate: JobRunner {
    struct Arguments: Codable, Sendable {
        let model: String
        let version: Int
        /// True for a version that only a backfill asked for: it is judged, and goes no further by itself.
        var isBackfill: Bool?
    }

    static let kind: JobKind = "evaluate"
    static let policy = JobPolicy(timeout: .seconds(6 * 3_600))
    let history: FeatureHistory
    let artifacts: ArtifactStore

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let trial = try await lease.transaction { try await load(job.arguments, in: $0) }
        let standing = trial.standing
        lease.report("scoring the holdout")
        let holdout =
            standing == .new
            ? try await score(trial) : ScoredHoldout(entities: [], labels: [], candidate: [], champion: nil)
        let judgement = PromotionGate.judge(holdout, standing: standing, policy: trial.policy)
        try await lease.settle { work in
            try await Evaluations.record(
                judgement, model: trial.candidate.model, version: trial.candidate.version,
                champion: trial.champion?.version, metric: trial.policy.metric, job: job.id, in: work.transaction)
            try await ModelVersions.judge(
                trial.candidate.model, trial.candidate.version, passed: judgement.verdict == .promoted,
                in: work.transaction)
            // What passes waits for a person; the verdict is on record, and nothing else happens to the version.
            if judgement.verdict == .promoted, job.arguments.isBackfill == true { return }
            try await announce(judgement, trial, in: work)
        }
    }

    /// A version that nobody can judge never faces traffic: that is a verdict too, and ends whoever waits for one.
    func abandon(_ job: Job<Arguments>, because failure: JobFailure, in work: borrowing Work) async throws {
        let (model, version) = (job.arguments.model, job.arguments.version)
        guard let candidate = try await ModelVersions.find(model, version, in: work.transaction) else { return }
        let champion = try await ModelVersions.champion(of: model, in: work.transaction)?.version
        let reason = "it could not be judged: \(failure.message)"
        let policy =
            try await DefinedModels.all(in: work.transaction).first { $0.name == model }?.promote ?? PromotionPolicy()
        try await Evaluations.record(
            .unjudged(reason), model: model, version: version, champion: champion, metric: policy.metric, job: job.id,
            in: work.transaction)
        try await ModelVersions.judge(model, candidate.version, passed: false, in: work.transaction)
        try await work.emit(
            ModelRejected(model: ModelID(rawValue: model), version: version, champion: champion, reason: reason))
    }

    private func announce(
        _ judgement: PromotionJudgement, _ trial: Trial, in work: borrowing Work
    ) async throws {
        let model = ModelID(rawValue: trial.candidate.model)
        let summary = EvaluationSummary(judgement, policy: trial.policy, hasChampion: trial.champion != nil)
        if judgement.verdict == .promoted {
            try await work.emit(
                ModelPromoted(
                    model: model, version: trial.candidate.version, champion: trial.champion?.version,
                    evaluation: summary, reason: judgement.reason))
        } else {
            try await work.emit(
                ModelRejected(
                    model: model, version: trial.candidate.version, champion: trial.champion?.version,
                    evaluation: summary, reason: judgement.reason))
        }
    }
}

/// A candidate and all that it is judged by.
struct Trial: Sendable {
    let candidate: ModelVersion
    let request: FrozenRequest
    let holdout: TrainingSetRecord
    let policy: PromotionPolicy
    let standing: CandidateStanding
    let champion: ModelVersion?
    let championRequest: FrozenRequest?
    /// The best champion of 90 days, when it is not the champion.
    let best: ModelVersion?
    let bestRequest: FrozenRequest?
}

extension EvaluateCandidate {
    /// Reads the candidate, what it is compared with, and the rules of the day.
    private func load(_ arguments: Arguments, in work: borrowing Work) async throws -> Trial {
        let transaction = work.transaction
        let (model, number) = (arguments.model, arguments.version)
        guard let candidate = try await ModelVersions.find(model, number, in: transaction) else {
            throw Rejection("there is no version \(number) of \(model)", code: "unknown-version")
        }
        guard let requestID = candidate.request, let set = candidate.trainingSet,
            let request = try await TrainingRequests.find(requestID, in: transaction),
            let holdout = try await TrainingSets.find(set, in: transaction)
        else {
            throw Rejection(
                "version \(number) of \(model) was not trained here, so there is no frozen holdout to judge it by; "
                    + "`naura models promote \(model) \(number)` sends it to a canary without the gate",
                code: "no-holdout")
        }
        let policy =
            try await DefinedModels.all(in: transaction).first { $0.name == model }?.promote
            ?? request.model.promote
        let champion = try await ModelVersions.champion(of: model, in: transaction)
        let best = try await ModelVersions.bestChampion(
            of: model, metric: policy.metric.rawValue, isGreaterBetter: policy.metric.isGreaterBetter, in: transaction)
        let other = best?.digest == champion?.digest ? nil : best
        let barred = try await ModelVersions.barred(candidate.digest, of: model, in: transaction)
        let standing: CandidateStanding =
            champion?.digest == candidate.digest ? .isChampion : barred.map { .barred(reason: $0) } ?? .new
        return Trial(
            candidate: candidate, request: request, holdout: holdout, policy: policy, standing: standing,
            champion: champion, championRequest: try await self.request(of: champion, in: work), best: other,
            bestRequest: try await self.request(of: other, in: work))
    }

    private func request(of version: ModelVersion?, in work: borrowing Work) async throws -> FrozenRequest? {
        guard let id = version?.request else { return nil }
        return try await TrainingRequests.find(id, in: work.transaction)
    }
}

extension EvaluationSummary {
    fileprivate init(_ judgement: PromotionJudgement, policy: PromotionPolicy, hasChampion: Bool) {
        var metrics: [String: Double] = [:]
        for comparison in judgement.comparisons where comparison.candidate.isFinite {
            metrics[comparison.metric.rawValue] = comparison.candidate
        }
        let words = ["blocks": "blocked", "not judged": "not-judged"]
        self.init(
            verdict: judgement.verdict.rawValue, metric: policy.metric.rawValue,
            candidate: judgement.decisive?.candidate, championScore: hasChampion ? judgement.decisive?.other : nil,
            difference: judgement.decisive?.difference, lower: judgement.decisive?.lowerBound,
            upper: judgement.decisive?.upperBound, reason: judgement.reason,
            slices: judgement.slices.map { slice in
                Slice(
                    column: slice.column, value: slice.value, verdict: words[slice.verdict] ?? slice.verdict,
                    difference: slice.comparison?.difference, lower: slice.comparison?.lowerBound,
                    upper: slice.comparison?.upperBound)
            },
            holdoutRows: judgement.rows, holdoutEntities: judgement.entities, metrics: metrics)
    }
}
