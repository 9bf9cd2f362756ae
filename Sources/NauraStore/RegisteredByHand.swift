public import NauraPostgres

extension ModelVersions {
    /// Registers a package that no run of Naura made as the next version of `model`.
    ///
    /// - Parameters:
    ///   - artifact: the SHA-256 under which the artifact store holds the package.
    ///   - actor: `user@host`.
    /// - Returns: the version's number.
    public static func registerByHand(
        model: String, digest: String, artifact: String, description: String, actor: String,
        in transaction: Transaction
    ) async throws -> Int {
        // The row is locked until the transaction ends, so two writers never take one number.
        try await transaction.execute(
            """
            insert into naura.registered_model (name) values (\(model))
            on conflict (name) do update set updated_at = now()
            """)
        let row = try await transaction.first(
            """
            insert into naura.model_version (model, version, digest, artifact, description, actor)
            select \(model), coalesce(max(version), 0) + 1, \(digest), \(artifact), \(description), \(actor)
            from naura.model_version where model = \(model)
            returning version
            """)
        guard let version = try row?.get("version", as: Int.self) else {
            throw PostgresError(.decodingFailed, "the new version of \(model) has no number")
        }
        return version
    }
}
