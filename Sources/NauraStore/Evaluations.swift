public import NauraPostgres
public import NauraRules

/// The gate's verdicts, with everything they rest on.
public enum Evaluations {
    /// Records `judgement` of a version, once a job.
    public static func record(
        _ judgement: PromotionJudgement, model: String, version: Int, champion: Int?, metric: PromotionMetric, job: Int,
        in transaction: Transaction
    ) async throws {
        let decisive = judgement.decisive
        try await transaction.execute(
            """
            insert into naura.evaluation (model, version, champion, verdict, reason, metric, candidate_score,
                champion_score, difference, lower_bound, upper_bound, holdout_rows, holdout_entities, report, job_id)
            values (\(model), \(version)::int, \(champion)::int, \(judgement.verdict), \(judgement.reason), \(metric),
                \(decisive?.candidate), \(champion == nil ? nil : decisive?.other), \(decisive?.difference),
                \(decisive?.lowerBound), \(decisive?.upperBound), \(judgement.rows), \(judgement.entities),
                \(json: judgement), \(job))
            on conflict (model, version, job_id) do nothing
            """)
    }
}
