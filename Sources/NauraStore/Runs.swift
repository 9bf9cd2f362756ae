public import NauraPostgres

/// A training as it is put on record.
public struct RunRecord: Sendable {
    /// 32 hex digits, derived from the request: a repeated training is the same run.
    public let id: String
    public let model: String
    public let request: Int
    public let trainingSet: String
    public let seed: Int
    public let codeCommit: String?
    public let projectVersion: Int
    /// Library versions, threads, host.
    public let environment: [String: String]
    public let parameters: [(name: String, value: String)]
    public let causes: [String]

    public init(
        id: String, model: String, request: Int, trainingSet: String, seed: Int, codeCommit: String?,
        projectVersion: Int, environment: [String: String], parameters: [(name: String, value: String)],
        causes: [String]
    ) {
        self.id = id
        self.model = model
        self.request = request
        self.trainingSet = trainingSet
        self.seed = seed
        self.codeCommit = codeCommit
        self.projectVersion = projectVersion
        self.environment = environment
        self.parameters = parameters
        self.causes = causes
    }
}

/// One value of one metric of a run.
public struct MetricPoint: Sendable, Equatable {
    public let key: String
    public let step: Int
    public let value: Double

    public init(key: String, step: Int, value: Double) {
        self.key = key
        self.step = step
        self.value = value
    }
}

/// An earlier run that a new one would repeat to the bit.
public struct EqualRun: Sendable, Equatable {
    public let run: String
    public let version: Int
    public let versionState: String
}

/// Trainings, as MLflow's clients know them: one experiment a model.
public enum Runs {
    /// Records that `run` begins. A repeated training begins anew: what its killed predecessor measured is forgotten.
    public static func begin(_ run: RunRecord, in transaction: Transaction) async throws {
        try await transaction.execute(
            "insert into naura.experiment (name) values (\(run.model)) on conflict (name) do nothing")
        try await transaction.execute(
            """
            insert into naura.run (id, experiment_id, name, model, request_id, training_set, seed, code_commit,
                project_version, environment, causes)
            select \(run.id), id, \("\(run.model)-\(run.request)"), \(run.model), \(run.request), \(run.trainingSet),
                \(run.seed), \(run.codeCommit), \(run.projectVersion)::int, \(json: run.environment),
                \(json: run.causes)
            from naura.experiment where name = \(run.model)
            on conflict (id) do update set state = 'running', started_at = now(), ended_at = null
            where naura.run.state = 'failed'
            """)
        try await transaction.execute("delete from naura.run_metric where run_id = \(run.id)")
        for parameter in run.parameters {
            try await transaction.execute(
                """
                insert into naura.run_parameter (run_id, key, value)
                values (\(run.id), \(parameter.name), \(parameter.value)) on conflict (run_id, key) do nothing
                """)
        }
        var tags = [("mlflow.runName", "\(run.model)-\(run.request)"), ("mlflow.source.name", "naura train")]
        if let commit = run.codeCommit { tags.append(("mlflow.source.git.commit", commit)) }
        for (key, value) in tags {
            try await transaction.execute(
                """
                insert into naura.run_tag (run_id, key, value) values (\(run.id), \(key), \(value))
                on conflict (run_id, key) do nothing
                """)
        }
    }

    /// Adds values of metrics, stamped with the transaction's `now()`.
    public static func measure(_ run: String, _ points: [MetricPoint], in transaction: Transaction) async throws {
        let finite = points.filter(\.value.isFinite)
        try await transaction.execute(
            """
            insert into naura.run_metric (run_id, key, step, timestamp_ms, value)
            select \(run), key, step, (extract(epoch from now()) * 1000)::bigint, value
            from unnest(\(finite.map(\.key)), \(finite.map(\.step)), \(finite.map(\.value))) as given(key, step, value)
            on conflict do nothing
            """)
    }

    /// Records that `run` made the package called `digest`, which the artifact store holds as `artifact`.
    public static func finish(
        _ run: String, digest: String, artifact: String, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.run set state = 'finished', digest = \(digest), artifact = \(artifact), ended_at = now()
            where id = \(run) and state = 'running'
            """)
    }

    /// Records that `run` failed for good.
    public static func fail(_ run: String, in transaction: Transaction) async throws {
        try await transaction.execute(
            "update naura.run set state = 'failed', ended_at = now() where id = \(run) and state = 'running'")
    }

    /// A finished run with the same training set, parameters, library, and code as `run`, whose package is the champion's
    /// or that of a version still on its way there; the champion's first. A version that a backfill made, and nobody has
    /// promoted, is on no way but for another backfill.
    public static func equal(to run: RunRecord, in transaction: Transaction) async throws -> EqualRun? {
        let row = try await transaction.first(
            """
            select r.id, v.version, v.state
            from naura.run r
            join naura.model_version v on v.model = r.model and v.digest = r.digest
            where r.model = \(run.model) and r.state = 'finished' and r.lifecycle = 'active' and r.id <> \(run.id)
            and r.training_set = \(run.trainingSet) and r.code_commit is not distinct from \(run.codeCommit)
            and r.environment->>'xgboost' = \(run.environment["xgboost"])
            and (select coalesce(jsonb_object_agg(key, value), '{}') from naura.run_parameter where run_id = r.id)
                = \(json: Dictionary(run.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first }))
            and (v.state in ('champion', 'candidate') or v.state in ('passed', 'trained') and not exists (
                select 1 from naura.training_request theirs, naura.training_request ours
                where theirs.id = r.request_id and theirs.is_backfill and ours.id = \(run.request)
                and not ours.is_backfill))
            order by v.state = 'champion' desc, v.version desc
            limit 1
            """)
        return try row.map {
            EqualRun(run: try $0.get("id"), version: try $0.get("version"), versionState: try $0.get("state"))
        }
    }
}
