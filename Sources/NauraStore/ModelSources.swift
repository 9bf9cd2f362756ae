public import NauraPostgres
public import NauraRules

/// What a program must know to turn raw rows into a model's inputs.
public struct ModelSource: Sendable, Equatable {
    /// The model's feature views, in its order.
    public let views: [FeatureViewDefinition]
    /// The contract of the dataset that the model's labels come from.
    public let contract: Contract
}

/// Asks where a model's inputs come from.
public enum ModelSources {
    /// The source of `model`; nil when no applied project file defines it.
    public static func find(_ model: String, in database: Database) async throws -> ModelSource? {
        let found = try await database.first(
            """
            select m.definition, d.contract from naura.model m
            join naura.dataset d on d.name = m.definition -> 'label' ->> 'dataset'
            where m.name = \(model) and not m.is_retired
            """)
        guard let found else { return nil }
        let definition = try found.json("definition", as: ModelDefinition.self)
        let rows = try await database.query(
            """
            select definition from naura.feature_view
            where is_current and name = any(\(definition.features)) order by name limit 1000
            """)
        let views = try rows.map { try $0.json("definition", as: FeatureViewDefinition.self) }
        return ModelSource(
            views: definition.features.compactMap { name in views.first { $0.name == name } },
            contract: try found.json("contract"))
    }
}
