public import NauraPostgres

/// What one gateway says of one model: the route it follows, the versions it answers with, and what is wrong.
public struct GatewayReport: Sendable, Equatable {
    public let model: String
    /// The epoch of the route it follows.
    public let epoch: Int64
    public let champion: Int?
    public let canary: Int?
    /// Why a version that the route names is not served; a refused package is a reason to take its rollout back.
    public let fault: String?

    public init(model: String, epoch: Int64, champion: Int?, canary: Int?, fault: String?) {
        self.model = model
        self.epoch = epoch
        self.champion = champion
        self.canary = canary
        self.fault = fault
    }
}

/// The gateways' own word about what they serve.
public enum Gateways {
    /// Records what `gateway` serves now, in place of what it said before.
    ///
    /// Rows of gateways that were not heard of for an hour are removed, so that ended processes do not pile up.
    public static func report(_ gateway: String, serves reports: [GatewayReport], in transaction: Transaction)
        async throws
    {
        for report in reports {
            try await transaction.execute(
                """
                insert into naura.gateway (gateway, model, epoch, champion, canary, fault, seen_at)
                values (\(gateway), \(report.model), \(report.epoch), \(report.champion), \(report.canary),
                    \(report.fault), now())
                on conflict (gateway, model) do update set epoch = excluded.epoch, champion = excluded.champion,
                    canary = excluded.canary, fault = excluded.fault, seen_at = excluded.seen_at
                """)
        }
        try await transaction.execute(
            """
            delete from naura.gateway
            where (gateway = \(gateway) and model <> all(\(reports.map(\.model))))
                or seen_at < now() - interval '1 hour'
            """)
    }

    /// Removes what `gateway` said, when it ends.
    public static func retire(_ gateway: String, in transaction: Transaction) async throws {
        try await transaction.execute("delete from naura.gateway where gateway = \(gateway)")
    }
}
