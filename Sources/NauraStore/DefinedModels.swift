public import NauraPostgres
public import NauraRules

/// Models as the applied project files define them.
public enum DefinedModels {
    /// The definition of each model that is not retired, by name.
    public static func all(in transaction: Transaction) async throws -> [ModelDefinition] {
        try await transaction.query(
            "select definition from naura.model where not is_retired order by name limit 10000"
        ).map { try $0.json("definition") }
    }

    /// The project that defines `model`; nil when none does, or did.
    public static func project(of model: String, in transaction: Transaction) async throws -> String? {
        try await transaction.first("select project from naura.model where name = \(model)")?.get("project")
    }

    /// Whether a model of this name is defined and not retired.
    public static func exists(_ model: String, in transaction: Transaction) async throws -> Bool {
        try await transaction.first("select 1 as one from naura.model where name = \(model) and not is_retired") != nil
    }
}
