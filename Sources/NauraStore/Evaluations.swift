public import NauraPostgres
public import NauraRules

/// The gate's verdicts, with everything they rest on.
public enum Evaluations {
    /// Records `judgement` of a version, one a job: that of a job that is redriven takes the place of its failure.
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
            on conflict (model, version, job_id) do update set champion = excluded.champion,
                verdict = excluded.verdict, reason = excluded.reason, metric = excluded.metric,
                candidate_score = excluded.candidate_score, champion_score = excluded.champion_score,
                difference = excluded.difference, lower_bound = excluded.lower_bound,
                upper_bound = excluded.upper_bound, holdout_rows = excluded.holdout_rows,
                holdout_entities = excluded.holdout_entities, report = excluded.report, evaluated_at = now()
            """)
    }
}
