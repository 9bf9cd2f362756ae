import Foundation
import NauraPostgres
import NauraRules

/// One window of event time of what one version of a model answered.
public struct WindowID: Codable, Sendable, Hashable {
    public let model: String
    public let version: Int
    /// Inclusive.
    public let start: Date
    /// Exclusive.
    public let end: Date

    public init(model: String, version: Int, start: Date, end: Date) {
        self.model = model
        self.version = version
        self.start = start
        self.end = end
    }

    /// The window of `seconds` that holds `moment`. Windows are counted from the epoch, so every worker cuts alike.
    public init(model: String, version: Int, holding moment: Date, seconds: Double) {
        let start = (moment.timeIntervalSince1970 / seconds).rounded(.down) * seconds
        self.init(
            model: model, version: version, start: Date(timeIntervalSince1970: start),
            end: Date(timeIntervalSince1970: start + seconds))
    }
}

/// What one closed window showed.
public struct WindowStatistics: Codable, Sendable, Equatable {
    /// One column; the score is the one called `score`.
    public struct Column: Codable, Sendable, Equatable {
        public let name: String
        public let method: String
        public let statistic: Double
        public let threshold: Double
        public let p: Double
        /// Nil when it could not be judged.
        public let isDrifted: Bool?

        public init(
            name: String, method: String, statistic: Double, threshold: Double, p: Double, isDrifted: Bool?
        ) {
            self.name = name
            self.method = method
            self.statistic = statistic
            self.threshold = threshold
            self.p = p
            self.isDrifted = isDrifted
        }

        private enum CodingKeys: String, CodingKey {
            case name, method, statistic, threshold, p
            case isDrifted = "is_drifted"
        }
    }

    /// The inputs in the order of the reference, then the score.
    public let columns: [Column]
    /// Samples that were counted: one a unit.
    public let samples: Int
    /// Whether the inputs, all together, have drifted; nil when that could not be judged.
    public let isDataDrifted: Bool?
    /// Whether the scores have drifted; nil when that could not be judged.
    public let isPredictionDrifted: Bool?
    /// The share of judged inputs that have drifted.
    public let share: Double?
    /// Why nothing could be judged.
    public let fault: String?

    public init(
        inputs: DriftJudgement, score: DriftJudgement, samples: Int, fault: String? = nil
    ) {
        columns = (inputs.columns + score.columns).map {
            Column(
                name: $0.name, method: $0.method, statistic: $0.statistic, threshold: $0.threshold, p: $0.p,
                isDrifted: $0.isDrifted)
        }
        self.samples = samples
        isDataDrifted = inputs.isDrifted
        isPredictionDrifted = score.isDrifted
        share = inputs.share
        self.fault = fault
    }

    private enum CodingKeys: String, CodingKey {
        case columns, samples, share, fault
        case isDataDrifted = "is_data_drifted"
        case isPredictionDrifted = "is_prediction_drifted"
    }
}

/// The windows in which live traffic is watched.
public enum MonitorWindows {
    /// How `model` is watched: as its definition says, or by default when it has none.
    public static func policy(of model: String, in transaction: Transaction) async throws -> MonitorPolicy {
        let row = try await transaction.first(
            "select definition -> 'monitor' as policy from naura.model where name = \(model)")
        return try row?.jsonIfPresent("policy") ?? MonitorPolicy()
    }

    /// Adds `rows` answers to `window`, which is opened by the first.
    ///
    /// Holds the window's row until the transaction ends, so that it cannot close in between.
    /// - Returns: false when the window has closed; the rows are then counted as late.
    public static func add(_ rows: Int, to window: WindowID, in transaction: Transaction) async throws -> Bool {
        let isOpen = try await transaction.first(
            """
            insert into naura.monitor_window (model, version, start_at, end_at, rows)
            values (\(window.model), \(window.version), \(window.start), \(window.end), \(rows))
            on conflict (model, version, start_at) do update set rows = naura.monitor_window.rows + excluded.rows
            where naura.monitor_window.state = 'open'
            returning 1 as one
            """)
        if isOpen != nil { return true }
        try await transaction.execute(
            """
            update naura.monitor_window set late_rows = late_rows + \(rows)
            where model = \(window.model) and version = \(window.version) and start_at = \(window.start)
            """)
        return false
    }

    /// Open windows of `model` that ended at or before `moment`, the earliest first.
    public static func ended(
        by moment: Date, model: String, in transaction: Transaction
    ) async throws -> [WindowID] {
        try await transaction.query(
            """
            select version, start_at, end_at from naura.monitor_window
            where model = \(model) and state = 'open' and end_at <= \(moment) order by start_at, version limit 1000
            """
        ).map {
            WindowID(
                model: model, version: try $0.get("version"), start: try $0.get("start_at"), end: try $0.get("end_at"))
        }
    }

    /// Closes `window`: from now on its rows are fixed.
    ///
    /// - Returns: whether there is something to judge: false when there is no such window, or it was judged before.
    public static func close(_ window: WindowID, in transaction: Transaction) async throws -> Bool {
        try await transaction.execute(
            """
            update naura.monitor_window set state = 'closed', closed_at = clock_timestamp()
            where model = \(window.model) and version = \(window.version) and start_at = \(window.start)
            and state = 'open'
            """)
        return try await transaction.first(
            """
            select 1 as one from naura.monitor_window
            where model = \(window.model) and version = \(window.version) and start_at = \(window.start)
            and state = 'closed' and statistics is null
            """) != nil
    }

    /// Records what the closed `window` showed, and its counts per column.
    public static func record(
        _ statistics: WindowStatistics, counts: [String: [Int]], of window: WindowID, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.monitor_window set statistics = \(json: statistics), counts = \(json: counts)
            where model = \(window.model) and version = \(window.version) and start_at = \(window.start)
            and state = 'closed' and statistics is null
            """)
    }

    /// How `window`'s model stood before it, after its last judged windows in the order in which they closed.
    ///
    /// - Parameter limit: windows to look at; as many as a policy's rows of windows are long.
    public static func standing(
        of kind: AlertKind, before window: WindowID, limit: Int, in transaction: Transaction
    ) async throws -> DriftHysteresis {
        let model = window.model
        let rows = try await transaction.query(
            """
            select (statistics ->> \(kind.verdictKey))::boolean as is_drifted from naura.monitor_window
            where model = \(model) and state = 'closed' and statistics ->> \(kind.verdictKey) is not null
            and (version, start_at) <> (\(window.version), \(window.start))
            order by closed_at desc, start_at desc limit \(limit)
            """)
        let verdicts = try rows.map { try $0.get("is_drifted", as: Bool.self) }
        return DriftHysteresis(
            isFiring: try await Alerts.isFiring(kind, model: model, in: transaction),
            windowsOver: verdicts.prefix { $0 }.count, windowsUnder: verdicts.prefix { !$0 }.count)
    }
}
