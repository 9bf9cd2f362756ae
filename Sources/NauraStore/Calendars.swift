import Foundation
import NauraPostgres
import NauraRules

/// The calendar of a model.
public struct ModelCalendar: Codable, Sendable, Equatable {
    public let model: String
    /// Five cron fields.
    public let cron: String
    /// The IANA zone in which they are read.
    public let timeZone: String

    public init(model: String, cron: String, timeZone: String) {
        self.model = model
        self.cron = cron
        self.timeZone = timeZone
    }
}

/// When models are to be trained by the calendar.
public enum Calendars {
    /// The calendars of all models that have one, and the database's time.
    public static func all(in transaction: Transaction) async throws -> (calendars: [ModelCalendar], now: Date) {
        let rows = try await transaction.query(
            """
            select name, definition #>> '{retrain,cron}' as cron, definition #>> '{retrain,timeZone}' as zone
            from naura.model
            where not is_retired and definition #>> '{retrain,cron}' is not null order by name limit 10000
            """)
        return (try rows.map(calendar), try await now(in: transaction))
    }

    /// The calendar of `model`, nil when it has none now, and the database's time.
    public static func find(
        _ model: String, in transaction: Transaction
    ) async throws -> (calendar: ModelCalendar?, now: Date) {
        let row = try await transaction.first(
            """
            select name, definition #>> '{retrain,cron}' as cron, definition #>> '{retrain,timeZone}' as zone
            from naura.model
            where name = \(model) and not is_retired and definition #>> '{retrain,cron}' is not null
            """)
        return (try row.map(calendar), try await now(in: transaction))
    }

    /// A signal at once, whenever a project is applied, after each reconnection, and every ten seconds.
    public static func changes(in database: Database) -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let listening = Task {
            var ticks = 0
            for await notice in database.listen(["naura_project"]) {
                if notice == .tick { ticks += 1 }
                if notice != .tick || ticks % 10 == 0 { continuation.yield() }
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in listening.cancel() }
        return stream
    }

    private static func now(in transaction: Transaction) async throws -> Date {
        guard let row = try await transaction.first("select clock_timestamp() as now") else { return Date() }
        return try row.get("now")
    }

    private static func calendar(_ row: Row) throws -> ModelCalendar {
        ModelCalendar(model: try row.get("name"), cron: try row.get("cron"), timeZone: try row.get("zone"))
    }
}
