public import Foundation
public import NauraPostgres
public import NauraRules

/// A feature view in its current version.
public struct CurrentView: Sendable, Equatable {
    /// The view's row; another version of the view has another.
    public let id: Int32
    /// What the view's rows are made of.
    public let definition: FeatureViewDefinition
}

/// Feature views, and which snapshots each holds.
public enum FeatureViews {
    /// The current views over `dataset` that do not hold snapshot `number` yet, by name.
    public static func lacking(
        _ dataset: String, _ number: Int64, in transaction: Transaction
    ) async throws -> [CurrentView] {
        try await transaction.query(
            """
            select v.id, v.definition from naura.feature_view v
            where v.dataset = \(dataset) and v.is_current and not exists (
                select 1 from naura.view_snapshot s where s.view_id = v.id and s.number = \(number))
            order by v.name collate "C" limit 1000
            """
        ).map { CurrentView(id: try $0.get("id"), definition: try $0.json("definition")) }
    }

    /// The names of the current views over `dataset`.
    public static func names(of dataset: String, in transaction: Transaction) async throws -> [String] {
        try await transaction.query(
            """
            select name from naura.feature_view where dataset = \(dataset) and is_current
            order by name collate "C" limit 1000
            """
        ).map { try $0.get("name") }
    }

    /// Makes the rows that `view` has of snapshot `number` visible.
    ///
    /// - Parameters:
    ///   - statistics: JSON, one entry a feature.
    ///   - asOf: the latest event time among the rows.
    public static func reveal(
        _ view: CurrentView, _ number: Int64, rows: Int64, statistics: String, asOf: Date?, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.view_snapshot (view_id, number, rows, statistics, as_of)
            values (\(view.id), \(number), \(rows), \(jsonText: statistics), \(asOf))
            on conflict (view_id, number) do nothing
            """)
    }

    /// What makes a view's rows what they are; another identity is another version.
    private struct Identity: Encodable {
        let view: FeatureViewDefinition
        let timestamp: TimestampSource
        let created: CreatedSource
        let types: [String: ColumnType]

        init(_ view: FeatureViewDefinition, _ dataset: DatasetDefinition) {
            self.view = view
            timestamp = dataset.timestamp
            created = dataset.created
            let columns = Set(view.features.flatMap(\.expression.referencedColumns))
            let rules = dataset.contract.columns.filter { columns.contains($0.name) }
            types = Dictionary(rules.map { ($0.name, $0.type) }) { first, _ in first }
        }
    }

    /// Makes `view` current: its version with the same identity, or a new one.
    static func define(
        _ view: FeatureViewDefinition, over dataset: DatasetDefinition, in transaction: Transaction
    ) async throws {
        let digest = try await transaction.first(
            "select encode(sha256(convert_to((\(json: Identity(view, dataset)))::text, 'UTF8')), 'hex') as digest"
        )?.get("digest", as: String.self)
        guard let digest else { throw StoreError(.missing, "view \(view.name) has no digest") }
        try await transaction.execute(
            "update naura.feature_view set is_current = false where name = \(view.name) and digest <> \(digest)")
        try await transaction.execute(
            """
            insert into naura.feature_view (name, version, digest, dataset, definition)
            select \(view.name), coalesce(max(version), 0) + 1, \(digest), \(view.dataset), \(json: view)
            from naura.feature_view where name = \(view.name)
            on conflict (name, digest) do update set is_current = true
            """)
    }
}
