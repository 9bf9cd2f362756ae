public import NauraPostgres

/// Who answers for a model, as the rollout decides it. Gateways read it through `RouteTable`.
public struct Route: Sendable, Equatable {
    public let model: String
    /// Grows by one with each change.
    public let epoch: Int64
    /// Who answers everyone outside the canary.
    public let champion: Int
    public let canary: Int?
    /// The canary's share of units, 0 to 1.
    public let weight: Double
}

/// The one place that changes a route, and with it the alias `champion`.
public enum Routes {
    /// The route of `model`; nil while no version has been rolled out.
    public static func current(of model: String, in transaction: Transaction) async throws -> Route? {
        try await transaction.first(
            "select model, epoch, champion, canary, weight from naura.route where model = \(model)"
        ).map { row in
            Route(
                model: try row.get("model"), epoch: try row.get("epoch"), champion: try row.get("champion"),
                canary: try row.get("canary"), weight: try row.get("weight"))
        }
    }

    /// Gives `version` the share `weight` of units beside the champion, and wakes the gateways.
    /// - Returns: the route's new epoch.
    public static func shift(
        _ model: String, to version: Int, weight: Double, salt: String, rollout: Int, in transaction: Transaction
    ) async throws -> Int64 {
        try await change(
            """
            update naura.route set epoch = epoch + 1, canary = \(version)::int, weight = \(weight), salt = \(salt),
                rollout_id = \(rollout), updated_at = now()
            where model = \(model) returning epoch
            """, model, in: transaction)
    }

    /// Lets the champion answer everyone, and wakes the gateways.
    /// - Returns: the route's new epoch.
    public static func takeBack(_ model: String, in transaction: Transaction) async throws -> Int64 {
        try await change(
            """
            update naura.route set epoch = epoch + 1, canary = null, weight = 0, salt = '', rollout_id = null,
                updated_at = now()
            where model = \(model) returning epoch
            """, model, in: transaction)
    }

    /// Makes `version` the champion in the registry and on the route, and wakes the gateways.
    /// - Returns: the route's new epoch.
    public static func crown(_ version: Int, of model: String, in transaction: Transaction) async throws -> Int64 {
        try await transaction.execute(
            """
            update naura.model_version set state = 'retired'
            where model = \(model) and state = 'champion' and version <> \(version)::int
            """)
        try await transaction.execute(
            "update naura.model_version set state = 'champion' where model = \(model) and version = \(version)::int")
        try await transaction.execute(
            """
            insert into naura.model_alias (model, alias, version) values (\(model), 'champion', \(version)::int)
            on conflict (model, alias) do update set version = excluded.version
            """)
        return try await change(
            """
            insert into naura.route (model, epoch, champion) values (\(model), 1, \(version)::int)
            on conflict (model) do update set epoch = naura.route.epoch + 1, champion = excluded.champion,
                canary = null, weight = 0, salt = '', rollout_id = null, updated_at = now()
            returning epoch
            """, model, in: transaction)
    }

    private static func change(_ query: Query, _ model: String, in transaction: Transaction) async throws -> Int64 {
        guard let row = try await transaction.first(query) else {
            throw PostgresError(.decodingFailed, "model \(model) has no route to change")
        }
        try await transaction.notify("naura_route", model)
        return try row.get("epoch")
    }
}
