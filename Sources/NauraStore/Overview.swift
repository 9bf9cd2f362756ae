// What people and programs ask of the domain's tables; one shape for the page, the JSON routes and the command line.

import Foundation
import NauraPostgres

/// The lists. Each gives the latest `limit` rows, the oldest first.
public enum Overview {
    /// Runs, by their start.
    public static func runs(
        model: String? = nil, limit: Int = 100, in database: Database
    ) async throws -> [RunRow] {
        let rows = try await database.query(
            """
            select r.id, r.model, v.version, r.state, r.training_set, r.digest, r.causes, r.code_commit,
                r.started_at, r.ended_at, coalesce(m.metrics, '{}'::jsonb) as metrics
            from (
                select * from naura.run where lifecycle = 'active' and (\(model)::text is null or model = \(model))
                order by started_at desc, id limit \(limit)
            ) r
            left join naura.model_version v on v.model = r.model and v.run_id = r.id
            left join lateral (
                select jsonb_object_agg(key, value) as metrics from (
                    select distinct on (key) key, value from naura.run_metric
                    where run_id = r.id and value not in ('NaN', 'Infinity', '-Infinity')
                    order by key, step desc, timestamp_ms desc
                ) latest
            ) m on true
            order by r.started_at, r.id
            """)
        return try rows.map { row in
            RunRow(
                id: try row.get("id"), model: try row.get("model"), version: try row.get("version"),
                state: try row.get("state"), trainingSet: try row.get("training_set"),
                digest: try row.get("digest"), metrics: try row.json("metrics", as: [String: Double].self),
                causes: try row.json("causes", as: [String].self), codeCommit: try row.get("code_commit"),
                startedAt: try row.get("started_at"), endedAt: try row.get("ended_at"))
        }
    }

    /// How the metrics of `runs` went, at most `pointsMax` points a curve, evenly chosen, the last one always.
    public static func curves(
        of runs: [String], pointsMax: Int = 120, in database: Database
    ) async throws -> [MetricCurve] {
        guard !runs.isEmpty else { return [] }
        let rows = try await database.query(
            """
            select run_id, key, array_agg(step order by step) as steps, array_agg(value order by step) as values
            from (
                select run_id, key, step, value,
                    row_number() over (partition by run_id, key order by step) as place,
                    count(*) over (partition by run_id, key) as points
                from naura.run_metric
                where run_id = any(\(runs)) and value not in ('NaN', 'Infinity', '-Infinity')
            ) numbered
            where points > 1 and (place = points or place % greatest(1, (points + \(pointsMax) - 1) / \(pointsMax)) = 1
                or points <= \(pointsMax))
            group by run_id, key order by run_id, key limit 1000
            """)
        return try rows.map { row in
            MetricCurve(
                run: try row.get("run_id"), metric: try row.get("key"), steps: try row.get("steps"),
                values: try row.get("values"))
        }
    }

    /// Models with a definition or a version, by name, each with its latest `versionsMax` versions.
    public static func models(
        versionsMax: Int = 100, limit: Int = 1_000, in database: Database
    ) async throws -> [ModelRow] {
        let rows = try await database.query(
            """
            select n.name, a.version as champion, coalesce(v.versions, '[]'::jsonb) as versions
            from (
                select name from naura.model where not is_retired union select name from naura.registered_model
            ) n
            left join naura.model_alias a on a.model = n.name and a.alias = 'champion'
            left join lateral (
                select jsonb_agg(jsonb_build_object(
                    'version', version, 'state', state, 'run', run_id, 'digest', digest,
                    'training_set', training_set, 'actor', actor,
                    'created_at', to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                    order by version) as versions
                from (
                    select * from naura.model_version where model = n.name order by version desc limit \(versionsMax)
                ) latest
            ) v on true
            order by n.name limit \(limit)
            """)
        return try rows.map { row in
            ModelRow(
                name: try row.get("name"), champion: try row.get("champion"),
                versions: try row.json("versions", as: [VersionRow].self))
        }
    }

    /// Rollouts, by id.
    public static func rollouts(
        model: String? = nil, limit: Int = 100, in database: Database
    ) async throws -> [RolloutRow] {
        let rows = try await database.query(
            """
            select id, model, version, baseline, state, weight, verdict, reason, step, actor, created_at,
                step_started_at, ended_at, root_id
            from naura.rollout where \(model)::text is null or model = \(model)
            order by id desc limit \(limit)
            """)
        return try rows.reversed().map { row in
            RolloutRow(
                id: try row.get("id"), model: try row.get("model"), version: try row.get("version"),
                baseline: try row.get("baseline"), state: try row.get("state"), weight: try row.get("weight"),
                verdict: try row.get("verdict"), reason: try row.get("reason"), step: try row.get("step"),
                actor: try row.get("actor"), createdAt: try row.get("created_at"),
                stepStartedAt: try row.get("step_started_at"), endedAt: try row.get("ended_at"),
                rootID: try row.get("root_id"))
        }
    }

    /// The columns of each model's last closed window, the greatest statistic first within a model. A column whose
    /// statistic is no finite number is left out.
    public static func drift(
        model: String? = nil, limit: Int = 1_000, in database: Database
    ) async throws -> [DriftRow] {
        let rows = try await database.query(
            """
            select w.model, w.version, w.start_at, w.end_at, w.rows, c.column_name, c.method, c.statistic, c.threshold,
                coalesce(c.is_drifted, c.statistic > c.threshold) as is_drifted
            from (
                select distinct on (model) * from naura.monitor_window
                where state = 'closed' and statistics is not null and (\(model)::text is null or model = \(model))
                order by model, end_at desc, version desc
            ) w
            cross join lateral (
                select e ->> 'name' as column_name, e ->> 'method' as method,
                    (e ->> 'statistic')::double precision as statistic,
                    (e ->> 'threshold')::double precision as threshold,
                    (e ->> 'is_drifted')::boolean as is_drifted
                from jsonb_array_elements(
                    case jsonb_typeof(w.statistics) when 'array' then w.statistics
                    else coalesce(w.statistics -> 'columns', '[]'::jsonb) end) e
            ) c
            where c.statistic not in ('NaN', 'Infinity', '-Infinity')
            order by w.model, c.statistic desc, c.column_name limit \(limit)
            """)
        return try rows.map { row in
            DriftRow(
                model: try row.get("model"), version: try row.get("version"), windowFrom: try row.get("start_at"),
                windowTo: try row.get("end_at"), rows: try row.get("rows"), column: try row.get("column_name"),
                method: try row.get("method"), statistic: try row.get("statistic"),
                threshold: try row.get("threshold"), isDrifted: try row.get("is_drifted"))
        }
    }

    /// Alerts, by id.
    public static func alerts(limit: Int = 50, in database: Database) async throws -> [AlertRow] {
        let rows = try await database.query(
            """
            select id, model, version, kind, state, opened_at, resolved_at from naura.alert
            order by id desc limit \(limit)
            """)
        return try rows.reversed().map { row in
            AlertRow(
                id: try row.get("id"), model: try row.get("model"), version: try row.get("version"),
                kind: try row.get("kind"), state: try row.get("state"), openedAt: try row.get("opened_at"),
                resolvedAt: try row.get("resolved_at"))
        }
    }
}
