public import NauraPostgres

/// What a copy that was filled from history is compared by, table by table, and what no history can rebuild.
///
/// Ids that the database gives out, and times of handling, are left out everywhere: rows are told apart by their own names.
public enum ComparedTables {
    /// In the order of the loop.
    public static let all: [ComparedTable] = [
        ComparedTable("naura.project_version", rows: "select * from naura.project_version"),
        ComparedTable("naura.dataset", rows: "select * from naura.dataset"),
        ComparedTable(
            "naura.snapshot",
            rows: """
                select dataset, number, uri, format, expected_sha256, event_id, root_id, arrived_at, violations, is_backfill,
                    case when state = 'duplicate' then 'arrived' else state end as state,
                    case when state <> 'duplicate' then sha256 end as sha256,
                    case when state <> 'duplicate' then rows end as rows,
                    case when state in ('validated', 'ready') then bytes end as bytes
                from naura.snapshot
                """,
            without:
                "profile and moments, which no event holds; that a file came twice ends without an event; settled_at"),
        ComparedTable(
            "naura.feature_view",
            rows: "select name, version, digest, dataset, definition, is_current from naura.feature_view",
            without: "id, created_at"),
        ComparedTable("naura.model", rows: "select * from naura.model"),
        ComparedTable(
            "naura.trigger",
            rows: """
                select t.model, t.kind, t.event_id, t.root_id, t.code_commit, t.actor, t.reason, t.is_backfill, r.run_id
                from naura.trigger t left join naura.training_request r on r.id = t.request_id and r.state = 'trained'
                """,
            without: "id, at; the trace, which foreign events lose; trainings without a version, which no event tells"),
        ComparedTable("naura.read_point", rows: "select * from naura.read_point"),
        ComparedTable(
            "naura.training_request", "those that ended with a version",
            rows: """
                select model, state, training_set, run_id, is_backfill from naura.training_request where state = 'trained'
                """,
            without: "what was frozen when the job began, which no event holds; ids and times"),
        ComparedTable(
            "naura.run", "those that made a version",
            rows: """
                select r.id, r.model, r.state, r.lifecycle, r.training_set, r.digest, r.code_commit, r.artifact,
                    r.causes, r.user_id
                from naura.run r join naura.training_request q on q.id = r.request_id where q.state = 'trained'
                """,
            without:
                "library, machine and seed, which no event holds; the project's version of the day; ids, names, times"),
        ComparedTable(
            "naura.registered_model", "those with a trained version",
            rows: """
                select name, description from naura.registered_model m
                where exists (select 1 from naura.model_version v where v.model = m.name and v.run_id is not null)
                """, without: "times"),
        ComparedTable(
            "naura.model_version", "those that were trained here",
            rows: """
                select v.model, v.version, v.run_id, v.digest, v.artifact, v.training_set, v.description, v.actor,
                    case when q.is_backfill and v.state = 'passed' then 'trained' else v.state end as state
                from naura.model_version v join naura.run r on r.id = v.run_id
                left join naura.training_request q on q.id = r.request_id
                """, without: "created_at; that a backfill's version passed, which no event tells"),
        ComparedTable(
            "naura.model_alias", "the champion",
            rows: "select model, version from naura.model_alias where alias = 'champion'",
            without: "aliases set by hand, which no event tells"),
        ComparedTable(
            "naura.barred_digest", rows: "select model, digest, reason from naura.barred_digest",
            without: "rollout_id, barred_at"),
        ComparedTable(
            "naura.evaluation",
            rows: """
                select e.model, e.version, e.champion, e.verdict, e.reason, e.metric, e.candidate_score,
                    e.champion_score, e.difference, e.lower_bound, e.upper_bound, e.holdout_rows, e.holdout_entities
                from naura.evaluation e where e.verdict <> 'promoted' or not exists (
                    select 1 from naura.model_version v join naura.run r on r.id = v.run_id
                    join naura.training_request q on q.id = r.request_id
                    where v.model = e.model and v.version = e.version and q.is_backfill)
                """,
            without:
                "the report, of which an event holds the figures; what passed for a backfill; id, job_id, evaluated_at"),
        ComparedTable(
            "naura.rollout",
            rows: """
                select model, version, baseline, digest, salt, state, rules, step, weight, epoch, actor, cause_id, root_id,
                    traceparent, case when ended_at is not null then verdict end as verdict,
                    case when ended_at is not null then reason end as reason
                from naura.rollout
                """,
            without: "id, times; the last look at one that still runs"),
        ComparedTable(
            "naura.rollout_decision",
            rows: """
                select r.model, r.cause_id, d.number, d.verdict, d.weight
                from naura.rollout_decision d join naura.rollout r on r.id = d.rollout_id
                """,
            without: "the evidence, which no event holds; decided_at"),
        ComparedTable(
            "naura.route", rows: "select model, epoch, champion, canary, weight, salt from naura.route",
            without: "rollout_id, updated_at"),
        predictions, windows,
        ComparedTable("naura.ground_truth", rows: "select * from naura.ground_truth"),
        ComparedTable(
            "naura.alert", rows: "select model, version, kind, state, event_id from naura.alert",
            without: "the order of columns and the counts of windows, which no event holds; id, times"),
        ComparedTable(
            "naura.notification",
            rows: "select channel, dedupe, subject, body, event_id, event_type from naura.notification",
            without: "id, sent_at: nobody is told again"),
    ]

    /// Compared only where every answer of every gateway is on record.
    public static let predictions = ComparedTable(
        "naura.prediction",
        rows: "select id, model, version, arm, unit, features, score, at from naura.prediction",
        without: "is_late, which depends on when a window was closed")
    public static let windows = ComparedTable(
        "naura.monitor_window",
        rows: "select model, version, start_at, end_at, rows + late_rows as rows from naura.monitor_window",
        without: "state, counts and statistics: a window that closes without an alert is told by no event")

    /// The tables that no history rebuilds, and why.
    public static let leftOut: [(table: String, reason: String)] = [
        ("naura.view_snapshot", "which rows a view holds: rows are made from bytes in the artifact store"),
        ("naura.feature_row", "made from bytes in the artifact store"),
        ("naura.online_row", "made from bytes in the artifact store"),
        ("naura.label_row", "made from bytes in the artifact store"),
        ("naura.training_set", "counted from rows in the artifact store"),
        ("naura.experiment", "kept for MLflow's clients, whose calls are no events"),
        ("naura.experiment_tag", "kept for MLflow's clients, whose calls are no events"),
        ("naura.run_parameter", "the project's, the positive class excepted, which no event holds"),
        ("naura.run_metric", "curves, with the time of each point; no event holds them"),
        ("naura.run_tag", "kept for MLflow's clients, whose calls are no events"),
        ("naura.rollout_evidence", "what gateways saw goes straight to Kafka"),
        ("naura.rollout_unit", "what gateways saw goes straight to Kafka"),
        ("naura.rollout_first_bad", "what gateways saw goes straight to Kafka"),
        ("naura.gateway", "what each gateway last said of itself"),
        ("naura.action", "what people did by hand, and when"),
    ]
}
