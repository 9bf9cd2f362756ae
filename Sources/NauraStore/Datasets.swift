public import NauraPostgres
public import NauraRules

/// Datasets as the applied project files define them.
public enum Datasets {
    /// The definition of `name`; nil when no such dataset is defined, or it is retired.
    public static func find(_ name: String, in transaction: Transaction) async throws -> DatasetDefinition? {
        try await transaction.first("select definition from naura.dataset where name = \(name) and not is_retired")?
            .json("definition")
    }

    /// The definition of `name`, which no project can change until the transaction ends. Retired ones included.
    static func lock(_ name: String, in transaction: Transaction) async throws -> DatasetDefinition? {
        try await transaction.first("select definition from naura.dataset where name = \(name) for share")?
            .json("definition")
    }

    /// The project that defines `name`; nil when none does, or did.
    public static func project(of name: String, in transaction: Transaction) async throws -> String? {
        try await transaction.first("select project from naura.dataset where name = \(name)")?.get("project")
    }

    /// The columns that current models read as labels from `dataset`, in order of their names.
    public static func labelColumns(of dataset: String, in transaction: Transaction) async throws -> [String] {
        try await transaction.query(
            """
            select distinct definition->'label'->>'column' collate "C" as column_name from naura.model
            where definition->'label'->>'dataset' = \(dataset) and not is_retired
            order by 1 limit 1000
            """
        ).map { try $0.get("column_name") }
    }
}
