public import NauraPostgres
public import NauraRules

/// A feature view in the version that a training reads.
public struct FrozenView: Codable, Sendable, Equatable {
    /// The view's row; another version of the view has another.
    public let id: Int
    public let version: Int
    public let definition: FeatureViewDefinition

    public init(id: Int, version: Int, definition: FeatureViewDefinition) {
        self.id = id
        self.version = version
        self.definition = definition
    }
}

/// All that decides what a training is made from, as it stood when its triggers were folded. A training that is killed and
/// repeated reads this again, not the project file of the day.
public struct FrozenRequest: Sendable, Equatable {
    /// How a request ended, or `frozen` while it has not.
    public enum State: String, Sendable {
        case frozen, trained, unchanged, failed
    }

    public let id: Int
    public let model: ModelDefinition
    public let projectVersion: Int
    /// The views in the order of the model's features.
    public let views: [FrozenView]
    /// The greatest readable snapshot number of each dataset concerned.
    public let readPoints: [String: Int64]
    /// The newest merged commit that concerns the model, from this or an earlier training.
    public let codeCommit: String?
    public let state: State
    public let reason: String?
    /// The ids of the events that this training answers, in the order in which they came.
    public let causes: [String]
    /// Whether only a backfill asked for it: its version is judged, and not deployed by itself.
    public let isBackfill: Bool
}

/// Trainings asked for: pending triggers, folded into one row.
public enum TrainingRequests {
    private struct Frozen: Codable {
        var model: ModelDefinition
        var views: [FrozenView]
    }

    /// The request that the job `job` froze earlier; nil when it has not yet.
    public static func find(job: Int, in transaction: Transaction) async throws -> FrozenRequest? {
        let row = try await transaction.first(
            """
            select id, definition, project_version, read_points, code_commit, state, reason, is_backfill
            from naura.training_request where job_id = \(job)
            """)
        guard let row else { return nil }
        return try await request(row, in: transaction)
    }

    /// The request with this id.
    public static func find(_ id: Int, in transaction: Transaction) async throws -> FrozenRequest? {
        let row = try await transaction.first(
            """
            select id, definition, project_version, read_points, code_commit, state, reason, is_backfill
            from naura.training_request where id = \(id)
            """)
        guard let row else { return nil }
        return try await request(row, in: transaction)
    }

    /// Locks the model until the transaction ends: triggers that come meanwhile wait, and belong to the next fold.
    public static func lock(_ model: String, in transaction: Transaction) async throws {
        try await transaction.execute("select 1 from naura.model where name = \(model) for update")
    }

    /// Takes the pending triggers of `model` into a new request: all, or those of the events `causes`. Call
    /// ``lock(_:in:)`` first.
    public static func freeze(
        _ model: String, job: Int, only causes: [String]? = nil, in transaction: Transaction
    ) async throws -> FrozenRequest {
        let row = try await transaction.first(
            "select definition, project_version from naura.model where name = \(model)")
        guard let row else { throw PostgresError(.decodingFailed, "the model \(model) is not defined") }
        let definition = try row.json("definition", as: ModelDefinition.self)
        let views = try await currentViews(definition.features, in: transaction)
        let datasets = Set(views.map(\.definition.dataset) + [definition.label.dataset]).sorted()
        let request = try await transaction.first(
            """
            insert into naura.training_request (job_id, model, definition, project_version, read_points, code_commit,
                is_backfill)
            select \(job), \(model), \(json: Frozen(model: definition, views: views)),
                \(try row.get("project_version", as: Int.self))::int,
                (select coalesce(jsonb_object_agg(dataset, number), '{}') from naura.read_point
                    where dataset = any(\(datasets))),
                (select code_commit from naura.trigger where model = \(model) and code_commit is not null
                    order by id desc limit 1),
                not exists (select 1 from naura.trigger where model = \(model) and request_id is null
                    and not is_backfill and (\(causes == nil) or event_id = any(\(causes ?? []))))
            returning id
            """)
        guard let id = try request?.get("id", as: Int.self) else {
            throw PostgresError(.decodingFailed, "the new request of \(model) has no id")
        }
        try await transaction.execute(
            """
            update naura.trigger set request_id = \(id) where model = \(model) and request_id is null
            and (\(causes == nil) or event_id = any(\(causes ?? [])))
            """)
        guard let frozen = try await find(id, in: transaction) else {
            throw PostgresError(.decodingFailed, "the new request \(id) of \(model) cannot be read")
        }
        return frozen
    }

    /// Ends a request that is still open. `reason` says why it ended without a version.
    public static func end(
        _ id: Int, as state: FrozenRequest.State, reason: String? = nil, trainingSet: String? = nil, run: String? = nil,
        in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.training_request set state = \(state), reason = \(reason), training_set = \(trainingSet),
                run_id = \(run), settled_at = now()
            where id = \(id) and state = 'frozen'
            """)
    }

    /// Has a failed request be worked on again, from what it froze: its job is tried once more by a person's will.
    public static func reopen(_ id: Int, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            update naura.training_request set state = 'frozen', reason = null, settled_at = null
            where id = \(id) and state = 'failed'
            """)
    }

    private static func currentViews(
        _ names: [String], in transaction: Transaction
    ) async throws -> [FrozenView] {
        let rows = try await transaction.query(
            """
            select id, version, definition from naura.feature_view
            where is_current and name = any(\(names)) order by name limit 1000
            """)
        let views = try rows.map { row in
            FrozenView(id: try row.get("id"), version: try row.get("version"), definition: try row.json("definition"))
        }
        return names.compactMap { name in views.first { $0.definition.name == name } }
    }

    private static func request(_ row: Row, in transaction: Transaction) async throws -> FrozenRequest {
        let id = try row.get("id", as: Int.self)
        let frozen = try row.json("definition", as: Frozen.self)
        let causes = try await transaction.query(
            "select event_id from naura.trigger where request_id = \(id) order by id limit 1000000")
        return FrozenRequest(
            id: id, model: frozen.model, projectVersion: try row.get("project_version"), views: frozen.views,
            readPoints: try row.json("read_points"), codeCommit: try row.get("code_commit"),
            state: try row.get("state"), reason: try row.get("reason"),
            causes: try causes.map { try $0.get("event_id") }, isBackfill: try row.get("is_backfill"))
    }
}
