public import Foundation
public import NauraPostgres

/// The newest row of one feature view for one entity.
public struct OnlineRow: Sendable, Equatable {
    public let viewID: Int32
    /// When the values became true.
    public let eventAt: Date
    /// Values of the view's numbers, in the order of its features.
    public let numbers: [Double?]
    /// Values of the view's texts, in the order of its features.
    public let texts: [String?]

    public init(viewID: Int32, eventAt: Date, numbers: [Double?], texts: [String?]) {
        self.viewID = viewID
        self.eventAt = eventAt
        self.numbers = numbers
        self.texts = texts
    }
}

/// Reads of the online store by key.
public enum OnlineFeatures {
    /// The row of each of `views` for the entity `key`; a view without a row for it is not in the answer.
    public static func rows(of views: [Int32], key: String, from database: Database) async throws -> [OnlineRow] {
        try await database.query(
            """
            select view_id, event_at, numbers, texts from naura.online_row
            where view_id = any(\(views)) and entity_key = \(key)
            limit 1000
            """
        ).map { row in
            OnlineRow(
                viewID: try row.get("view_id"), eventAt: try row.get("event_at"), numbers: try row.get("numbers"),
                texts: try row.get("texts"))
        }
    }
}
