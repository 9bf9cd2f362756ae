import Foundation
import NauraPostgres

/// What a person did, to what, and why.
public struct ActionRow: Codable, Sendable, Equatable {
    public let id: Int
    /// `user@host`.
    public let actor: String
    /// `retrain`, `promote`, `apply`, …
    public let verb: String
    /// What it was done to: `churn`, `churn/4`.
    public let target: String
    public let reason: String
    /// The event that it led to.
    public let eventID: String?
    public let at: Date

    private enum CodingKeys: String, CodingKey {
        case id, actor, verb, target, reason, at
        case eventID = "event_id"
    }
}

/// The record of what people did by hand.
public enum Actions {
    /// Puts an action on record, in the transaction that carries it out.
    public static func record(
        actor: String, verb: String, target: String, reason: String, eventID: String?, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.action (actor, verb, target, reason, event_id)
            values (\(actor), \(verb), \(target), \(reason), \(eventID))
            """)
    }

    /// The latest `limit` actions, the oldest first.
    public static func list(limit: Int = 100, in database: Database) async throws -> [ActionRow] {
        let rows = try await database.query(
            """
            select id, actor, verb, target, reason, event_id, at from naura.action order by id desc limit \(limit)
            """)
        return try rows.reversed().map { row in
            ActionRow(
                id: try row.get("id"), actor: try row.get("actor"), verb: try row.get("verb"),
                target: try row.get("target"), reason: try row.get("reason"), eventID: try row.get("event_id"),
                at: try row.get("at"))
        }
    }
}
