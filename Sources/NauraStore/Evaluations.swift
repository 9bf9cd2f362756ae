public import NauraPostgres
public import NauraRules

/// The figures of a verdict of the gate.
public struct EvaluationFigures: Sendable, Equatable {
    public let verdict: PromotionVerdict
    public let reason: String
    public let metric: PromotionMetric
    public let candidate: Double?
    /// The champion's value; nil without one.
    public let champion: Double?
    public let difference: Double?
    public let lowerBound: Double?
    public let upperBound: Double?
    public let rows: Int
    public let entities: Int

    public init(
        verdict: PromotionVerdict, reason: String, metric: PromotionMetric, candidate: Double?, champion: Double?,
        difference: Double?, lowerBound: Double?, upperBound: Double?, rows: Int, entities: Int
    ) {
        self.verdict = verdict
        self.reason = reason
        self.metric = metric
        self.candidate = candidate
        self.champion = champion
        self.difference = difference
        self.lowerBound = lowerBound
        self.upperBound = upperBound
        self.rows = rows
        self.entities = entities
    }
}

/// The gate's verdicts, with everything they rest on.
public enum Evaluations {
    /// Records `judgement` of a version, one a job: that of a job that is redriven takes the place of its failure.
    public static func record(
        _ judgement: PromotionJudgement, model: String, version: Int, champion: Int?, metric: PromotionMetric, job: Int,
        in transaction: Transaction
    ) async throws {
        let decisive = judgement.decisive
        let figures = EvaluationFigures(
            verdict: judgement.verdict, reason: judgement.reason, metric: metric, candidate: decisive?.candidate,
            champion: champion == nil ? nil : decisive?.other, difference: decisive?.difference,
            lowerBound: decisive?.lowerBound, upperBound: decisive?.upperBound, rows: judgement.rows,
            entities: judgement.entities)
        try await record(
            figures, model: model, version: version, champion: champion, report: judgement, job: job, in: transaction)
    }

    /// The same with its figures alone; `report` is everything they rest on.
    public static func record(
        _ figures: EvaluationFigures, model: String, version: Int, champion: Int?, report: some Encodable & Sendable,
        job: Int, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.evaluation (model, version, champion, verdict, reason, metric, candidate_score,
                champion_score, difference, lower_bound, upper_bound, holdout_rows, holdout_entities, report, job_id)
            values (\(model), \(version)::int, \(champion)::int, \(figures.verdict), \(figures.reason),
                \(figures.metric), \(figures.candidate), \(figures.champion), \(figures.difference),
                \(figures.lowerBound), \(figures.upperBound), \(figures.rows), \(figures.entities),
                \(json: report), \(job))
            on conflict (model, version, job_id) do update set champion = excluded.champion,
                verdict = excluded.verdict, reason = excluded.reason, metric = excluded.metric,
                candidate_score = excluded.candidate_score, champion_score = excluded.champion_score,
                difference = excluded.difference, lower_bound = excluded.lower_bound,
                upper_bound = excluded.upper_bound, holdout_rows = excluded.holdout_rows,
                holdout_entities = excluded.holdout_entities, report = excluded.report, evaluated_at = now()
            """)
    }
}
