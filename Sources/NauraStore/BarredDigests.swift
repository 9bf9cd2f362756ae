public import NauraPostgres

/// Packages that were taken back and must not serve again. `ModelVersions.barred` asks.
public enum BarredDigests {
    /// Bars `digest` for `model`. One that is barred already keeps its first reason.
    public static func bar(
        _ digest: String, of model: String, reason: String, rollout: Int, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.barred_digest (model, digest, reason, rollout_id)
            values (\(model), \(digest), \(reason), \(rollout))
            on conflict (model, digest) do nothing
            """)
    }
}
