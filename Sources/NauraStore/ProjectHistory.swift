public import NauraPostgres
import NauraRules

/// A project as it was applied, once a version.
public struct AppliedVersion: Sendable {
    public let version: ProjectVersion
    /// What the file said.
    let definition: ProjectDefinition
}

extension Projects {
    /// All versions of all projects, in the order in which they were applied.
    public static func history(in transaction: Transaction) async throws -> [AppliedVersion] {
        try await transaction.query(
            """
            select project, version, sha256, source, applied_by, applied_at, document
            from naura.project_version order by applied_at, project, version limit 100000
            """
        ).map { row in
            AppliedVersion(
                version: ProjectVersion(
                    project: try row.get("project"), version: try row.get("version"), sha256: try row.get("sha256"),
                    source: try row.get("source"), appliedBy: try row.get("applied_by"),
                    appliedAt: try row.get("applied_at")),
                definition: try row.json("document"))
        }
    }

    /// Applies a version again in a copy, with its own number and time. Nothing is made again from old data.
    /// - Throws: ``StoreError`` `missing` when the copy lacks the version before it.
    public static func reapply(_ applied: AppliedVersion, in transaction: Transaction) async throws {
        let version = applied.version
        let made = try await apply(
            applied.definition, sha256: version.sha256, source: version.source, by: version.appliedBy, in: transaction)
        guard made.version == version.version else {
            throw StoreError(
                .missing,
                "version \(version.version) of project \(version.project) is version \(made.version) in the copy")
        }
        try await transaction.execute(
            """
            update naura.project_version set applied_at = \(version.appliedAt)
            where project = \(version.project) and version = \(Int32(version.version))
            """)
    }
}
