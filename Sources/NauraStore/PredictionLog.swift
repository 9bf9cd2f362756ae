import Foundation
import NauraPostgres
import NauraRules

/// One answer of a gateway, as it is kept.
public struct LoggedPrediction: Sendable {
    public let id: String
    public let version: Int
    /// `champion` or `canary`.
    public let arm: String
    public let unit: String?
    public let features: [String: CellValue]
    /// Nil when the model answered an error.
    public let score: Double?
    public let at: Date

    public init(
        id: String, version: Int, arm: String, unit: String?, features: [String: CellValue], score: Double?, at: Date
    ) {
        self.id = id
        self.version = version
        self.arm = arm
        self.unit = unit
        self.features = features
        self.score = score
        self.at = at
    }
}

/// Inputs and score of one answer, as the monitor counts them.
public struct PredictionSample: Sendable {
    public let features: [String: CellValue]
    public let score: Double?
}

/// What models answered.
public enum PredictionLog {
    /// Keeps `predictions` of `model`; one that is there already stays as it is.
    ///
    /// - Parameter isLate: whether the answer's window had closed before it came, so that it counts in none.
    public static func record(
        _ predictions: [LoggedPrediction], of model: String, isLate: (LoggedPrediction) -> Bool,
        in transaction: Transaction
    ) async throws {
        for item in predictions {
            try await transaction.execute(
                """
                insert into naura.prediction (model, id, version, arm, unit, features, score, at, is_late)
                values (\(model), \(item.id), \(item.version), \(item.arm), \(item.unit), \(json: item.features),
                    \(item.score), \(item.at), \(isLate(item)))
                on conflict (model, id) do nothing
                """)
        }
    }

    /// Deletes answers that are older than `seconds`, at most `limit`. Returns how many; 0 while another does the same.
    ///
    /// What a window still needs stays, however old: one that is open, or closed and not judged yet.
    public static func prune(olderThanSeconds seconds: Double, limit: Int, in database: Database) async throws -> Int {
        try await database.update(
            """
            with needed as materialized (
                select model, version, start_at, end_at from naura.monitor_window where statistics is null
            )
            delete from naura.prediction
            where (select pg_try_advisory_xact_lock(hashtextextended('naura.prediction', 1))) and (model, id) in (
                select old.model, old.id from (select distinct model from naura.monitor_window) m
                cross join lateral (
                    select p.model, p.id from naura.prediction p
                    where p.model = m.model and p.at < now() - make_interval(secs => \(seconds))
                    and not exists (
                        select 1 from needed n where n.model = p.model and n.version = p.version
                        and p.at >= n.start_at and p.at < n.end_at)
                    order by p.at limit \(limit)) old
                limit \(limit))
            """)
    }
}

/// Reads the answers of windows, a few thousand rows in memory at a time.
public struct PredictionHistory: Sendable {
    private let database: Database

    public init(_ database: Database) {
        self.database = database
    }

    /// Calls `body` with one sample a unit of `window`: the unit's first answer; each answer without a unit is its own.
    ///
    /// Reference rows are one a label and traffic is many a customer, so a busy customer would else look like drift.
    public func forEachSample(of window: WindowID, _ body: (PredictionSample) throws -> Void) async throws {
        try await database.transaction { transaction in
            try await transaction.forEach(
                """
                select distinct on (coalesce('u' || unit, 'i' || id)) features, score
                from naura.prediction
                where model = \(window.model) and version = \(window.version) and at >= \(window.start)
                and at < \(window.end) and not is_late
                order by coalesce('u' || unit, 'i' || id), at, id
                """
            ) { row in
                // Not `json`, which reads the texts NaN and Infinity as numbers: here they may be categories.
                let features = try JSONDecoder().decode(
                    [String: CellValue].self, from: Data(try row.get("features", as: String.self).utf8))
                try body(PredictionSample(features: features, score: try row.get("score")))
            }
        }
    }
}

/// What turned out to be true.
public enum Outcomes {
    /// One outcome, of a prediction by its id, or of what a unit was told at a moment.
    public struct Item: Sendable {
        public let predictionID: String?
        public let unit: String?
        public let at: Date?
        public let label: String
        public let observedAt: Date

        public init(predictionID: String?, unit: String?, at: Date?, label: String, observedAt: Date) {
            self.predictionID = predictionID
            self.unit = unit
            self.at = at
            self.label = label
            self.observedAt = observedAt
        }
    }

    /// Keeps the outcomes that `event` told of `model`.
    public static func record(
        _ items: [Item], of model: String, event: String, in transaction: Transaction
    ) async throws {
        for (index, item) in items.enumerated() {
            try await transaction.execute(
                """
                insert into naura.ground_truth (model, prediction_id, unit, at, label, observed_at, event_id, item)
                values (\(model), \(item.predictionID), \(item.unit), \(item.at), \(item.label), \(item.observedAt),
                    \(event), \(index))
                on conflict (model, event_id, item) do nothing
                """)
        }
    }
}
