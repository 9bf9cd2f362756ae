public import NauraPostgres

/// A trained version of a model.
public struct ModelVersion: Sendable, Equatable {
    public let model: String
    public let version: Int
    public let run: String?
    public let digest: String
    /// The SHA-256 under which the artifact store has the package.
    public let artifact: String
    public let trainingSet: String?
    public let state: String
    /// The training request behind the run; nil for versions that came from elsewhere.
    public let request: Int?
}

/// The registry: versions, the alias `champion`, and what was barred.
public enum ModelVersions {
    /// Registers what `run` made as the next version of `model`, or finds the version that it made before.
    public static func register(
        model: String, run: String, digest: String, artifact: String, trainingSet: String, in transaction: Transaction
    ) async throws -> Int {
        // The row is locked until the transaction ends, so two writers never take one number.
        try await transaction.execute(
            """
            insert into naura.registered_model (name) values (\(model))
            on conflict (name) do update set updated_at = now()
            """)
        try await transaction.execute(
            """
            insert into naura.model_version (model, version, run_id, digest, artifact, training_set)
            select \(model), coalesce(max(version), 0) + 1, \(run), \(digest), \(artifact), \(trainingSet)
            from naura.model_version where model = \(model)
            having not exists (select 1 from naura.model_version where model = \(model) and run_id = \(run))
            """)
        let row = try await transaction.first(
            "select version from naura.model_version where model = \(model) and run_id = \(run)")
        guard let version = try row?.get("version", as: Int.self) else {
            throw PostgresError(.decodingFailed, "run \(run) of \(model) has no version")
        }
        return version
    }

    /// The version, or nil when there is none of this number.
    public static func find(_ model: String, _ version: Int, in transaction: Transaction) async throws -> ModelVersion?
    {
        try await transaction.first(
            """
            select v.model, v.version, v.run_id, v.digest, v.artifact, v.training_set, v.state, r.request_id
            from naura.model_version v left join naura.run r on r.id = v.run_id
            where v.model = \(model) and v.version = \(version)::int
            """
        ).map(registered)
    }

    /// The version that answers everyone outside a canary; nil before the first rollout has completed.
    public static func champion(of model: String, in transaction: Transaction) async throws -> ModelVersion? {
        try await transaction.first(
            """
            select v.model, v.version, v.run_id, v.digest, v.artifact, v.training_set, v.state, r.request_id
            from naura.model_alias a
            join naura.model_version v on v.model = a.model and v.version = a.version
            left join naura.run r on r.id = v.run_id
            where a.model = \(model) and a.alias = 'champion'
            """
        ).map(registered)
    }

    /// Of the versions whose rollout completed in the last 90 days, the one that the gate saw best in `metric`; nil
    /// without any.
    public static func bestChampion(
        of model: String, metric: String, isGreaterBetter: Bool, in transaction: Transaction
    ) async throws -> ModelVersion? {
        try await transaction.first(
            """
            select v.model, v.version, v.run_id, v.digest, v.artifact, v.training_set, v.state, r.request_id
            from naura.model_version v
            join naura.evaluation e on e.model = v.model and e.version = v.version
            left join naura.run r on r.id = v.run_id
            where v.model = \(model) and e.metric = \(metric) and e.candidate_score is not null
            and v.state in ('champion', 'retired')
            and exists (
                select 1 from naura.rollout o where o.model = v.model and o.version = v.version
                and o.state = 'completed' and o.ended_at > now() - interval '90 days')
            order by e.candidate_score * \(isGreaterBetter ? -1.0 : 1.0), v.version desc
            limit 1
            """
        ).map(registered)
    }

    /// Why `digest` must not serve `model` again; nil when nothing is against it.
    public static func barred(_ digest: String, of model: String, in transaction: Transaction) async throws -> String? {
        try await transaction.first(
            "select reason from naura.barred_digest where model = \(model) and digest = \(digest)"
        )?.get("reason")
    }

    /// Records the gate's verdict. A version that has gone further meanwhile stays where it is.
    public static func judge(
        _ model: String, _ version: Int, passed: Bool, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.model_version set state = \(passed ? "passed" : "rejected")
            where model = \(model) and version = \(version)::int and state in ('trained', 'passed', 'rejected')
            """)
    }

    private static func registered(_ row: Row) throws -> ModelVersion {
        ModelVersion(
            model: try row.get("model"), version: try row.get("version"), run: try row.get("run_id"),
            digest: try row.get("digest"), artifact: try row.get("artifact"),
            trainingSet: try row.get("training_set"), state: try row.get("state"), request: try row.get("request_id"))
    }
}
