public import Foundation
public import NauraPostgres
public import NauraRules

/// A request to make a snapshot's rows into feature and label rows; the arguments of a `featurize` job.
public struct FeaturizeOrder: Codable, Sendable, Equatable {
    /// The dataset's name.
    public let dataset: String
    /// The snapshot's number.
    public let number: Int64
    /// Label columns to read again though the snapshot is ready; nil for a snapshot that has just been validated.
    public let labels: [String]?
    /// Whether the end is announced as features-ready: of several snapshots that are made again, the last one's is.
    public let announces: Bool
    /// True when a backfill brought the snapshot in, and is what orders its rows; a project's order is none.
    public let isBackfill: Bool?

    public init(
        dataset: String, number: Int64, labels: [String]? = nil, announces: Bool = true, isBackfill: Bool? = nil
    ) {
        self.dataset = dataset
        self.number = number
        self.labels = labels
        self.announces = announces
        self.isBackfill = isBackfill
    }
}

/// What applying a project did.
public struct AppliedProject: Sendable, Equatable {
    /// The version under which the project is on record.
    public let version: Int
    /// Whether it is a new version; false when the latest one says the same.
    public let isNew: Bool
    /// Ready snapshots whose rows changed or new views and models lack. The caller files a `featurize` job for each, with
    /// the dataset as its key, in this order.
    public let orders: [FeaturizeOrder]

    /// What the job of `order` is about: once a version.
    public func about(_ order: FeaturizeOrder) -> String { "\(order.dataset)/\(order.number)/project-\(version)" }
}

/// One recorded version of a project file.
public struct ProjectVersion: Sendable, Equatable {
    /// The project's name.
    public let project: String
    /// From 1.
    public let version: Int
    /// The SHA-256 of what the file says.
    public let sha256: String
    /// The file's text.
    public let source: String
    /// Who applied it.
    public let appliedBy: String
    /// When.
    public let appliedAt: Date
}

/// The project files on record, and what the latest ones define.
public enum Projects {
    /// Records `project` as a version and makes its datasets, views and models the current ones; those of the project that
    /// it no longer names are retired.
    ///
    /// - Parameters:
    ///   - sha256: names what the project says; equal to the latest version's, no new one is made.
    ///   - source: the file's text.
    ///   - actor: who applies it.
    /// - Throws: ``StoreError`` `name-taken` when another project has a dataset, view or model of the same name.
    public static func apply(
        _ project: ProjectDefinition, sha256: String, source: String, by actor: String, in transaction: Transaction
    ) async throws -> AppliedProject {
        // Two who apply at once would else see each other's half.
        try await transaction.execute("select pg_advisory_xact_lock(hashtextextended('naura.project', 0))")
        try await requireFreeNames(project, in: transaction)
        let before = try await readings(of: project.name, in: transaction)
        let (version, isNew) = try await record(
            project, sha256: sha256, source: source, by: actor, in: transaction)
        try await defineDatasets(project, in: transaction)
        for view in project.featureViews.values.sorted(by: { $0.name < $1.name }) {
            guard let dataset = project.datasets[view.dataset] else { continue }
            try await FeatureViews.define(view, over: dataset, in: transaction)
        }
        try await defineModels(project, version: version, in: transaction)
        try await retireOthers(project, in: transaction)
        let orders = try await orders(for: project, before: before, in: transaction)
        return AppliedProject(version: version, isNew: isNew, orders: orders)
    }

    /// The latest version of `project`; nil when it was never applied.
    public static func latest(_ project: String, in transaction: Transaction) async throws -> ProjectVersion? {
        let row = try await transaction.first(
            """
            select project, version, sha256, source, applied_by, applied_at from naura.project_version
            where project = \(project) order by version desc limit 1
            """)
        return try row.map { row in
            ProjectVersion(
                project: try row.get("project"), version: try row.get("version"), sha256: try row.get("sha256"),
                source: try row.get("source"), appliedBy: try row.get("applied_by"),
                appliedAt: try row.get("applied_at"))
        }
    }

    // MARK: - Recording

    private static func requireFreeNames(_ project: ProjectDefinition, in transaction: Transaction) async throws {
        let taken = try await transaction.query(
            """
            select 'dataset' as kind, name, project from naura.dataset
            where name = any(\(Array(project.datasets.keys))) and project <> \(project.name) and not is_retired
            union all
            select 'model', name, project from naura.model
            where name = any(\(Array(project.models.keys))) and project <> \(project.name) and not is_retired
            union all
            select 'feature view', v.name, d.project from naura.feature_view v
            join naura.dataset d on d.name = v.dataset
            where v.is_current and not d.is_retired and v.name = any(\(Array(project.featureViews.keys)))
            and d.project <> \(project.name)
            order by 1, 2 limit 100
            """)
        guard !taken.isEmpty else { return }
        let names = try taken.map { row in
            let (kind, name) = (try row.get("kind", as: String.self), try row.get("name", as: String.self))
            return "\(kind) '\(name)' belongs to project '\(try row.get("project", as: String.self))'"
        }
        throw StoreError(.nameTaken, names.joined(separator: "; "))
    }

    private static func record(
        _ project: ProjectDefinition, sha256: String, source: String, by actor: String, in transaction: Transaction
    ) async throws -> (version: Int, isNew: Bool) {
        let latest = try await latest(project.name, in: transaction)
        if let latest, latest.sha256 == sha256 { return (latest.version, false) }
        let version = (latest?.version ?? 0) + 1
        try await transaction.execute(
            """
            insert into naura.project_version (project, version, sha256, source, document, applied_by)
            values (\(project.name), \(Int32(version)), \(sha256), \(source), \(json: project), \(actor))
            """)
        return (version, true)
    }

    private static func defineDatasets(_ project: ProjectDefinition, in transaction: Transaction) async throws {
        for dataset in project.datasets.values.sorted(by: { $0.name < $1.name }) {
            try await transaction.execute(
                """
                insert into naura.dataset (name, project, definition, contract)
                values (\(dataset.name), \(project.name), \(json: dataset), \(json: dataset.contract))
                on conflict (name) do update set project = excluded.project, definition = excluded.definition,
                    contract = excluded.contract, is_retired = false
                """)
        }
    }

    private static func defineModels(
        _ project: ProjectDefinition, version: Int, in transaction: Transaction
    ) async throws {
        for model in project.models.values.sorted(by: { $0.name < $1.name }) {
            try await transaction.execute(
                """
                insert into naura.model (name, project, project_version, definition)
                values (\(model.name), \(project.name), \(Int32(version)), \(json: model))
                on conflict (name) do update set project = excluded.project,
                    project_version = excluded.project_version, definition = excluded.definition, is_retired = false
                """)
        }
    }

    private static func retireOthers(_ project: ProjectDefinition, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            update naura.model set is_retired = true
            where project = \(project.name) and not is_retired and not name = any(\(Array(project.models.keys)))
            """)
        try await transaction.execute(
            """
            update naura.feature_view set is_current = false
            where is_current and not name = any(\(Array(project.featureViews.keys)))
            and dataset in (select name from naura.dataset where project = \(project.name))
            """)
        try await transaction.execute(
            """
            update naura.dataset set is_retired = true
            where project = \(project.name) and not is_retired and not name = any(\(Array(project.datasets.keys)))
            """)
    }

    // MARK: - What has to be made again

    /// How a dataset's rows become labels: another reading makes other rows.
    private struct Reading: Equatable {
        let key: String
        let timestamp: TimestampSource
        let created: CreatedSource
        let type: ColumnType?

        init(_ dataset: DatasetDefinition, column: String) {
            key = dataset.key
            timestamp = dataset.timestamp
            created = dataset.created
            type = dataset.contract.column(column)?.type
        }
    }

    /// The reading of each label column by dataset and column, as it stands before the project is applied.
    private static func readings(
        of project: String, in transaction: Transaction
    ) async throws -> [String: [String: Reading]] {
        var readings: [String: [String: Reading]] = [:]
        let rows = try await transaction.query(
            "select definition from naura.dataset where project = \(project) and not is_retired limit 10000")
        for row in rows {
            let dataset = try row.json("definition", as: DatasetDefinition.self)
            for column in try await Datasets.labelColumns(of: dataset.name, in: transaction) {
                readings[dataset.name, default: [:]][column] = Reading(dataset, column: column)
            }
        }
        return readings
    }

    private static func orders(
        for project: ProjectDefinition, before: [String: [String: Reading]], in transaction: Transaction
    ) async throws -> [FeaturizeOrder] {
        var orders: [FeaturizeOrder] = []
        for dataset in project.datasets.values.sorted(by: { $0.name < $1.name }) {
            let labels = try await Datasets.labelColumns(of: dataset.name, in: transaction).filter { column in
                before[dataset.name]?[column] != Reading(dataset, column: column)
            }
            let numbers = try await transaction.query(
                """
                select s.number from naura.snapshot s
                where s.dataset = \(dataset.name) and s.state = 'ready' and (\(!labels.isEmpty) or exists (
                    select 1 from naura.feature_view v
                    where v.dataset = s.dataset and v.is_current and not exists (
                        select 1 from naura.view_snapshot h where h.view_id = v.id and h.number = s.number)))
                order by s.number limit 100000
                """
            ).map { try $0.get("number", as: Int64.self) }
            orders += numbers.map { number in
                FeaturizeOrder(
                    dataset: dataset.name, number: number, labels: labels, announces: number == numbers.last)
            }
        }
        return orders
    }
}
