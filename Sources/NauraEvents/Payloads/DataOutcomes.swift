import Foundation

/// A snapshot has been fetched, named by its content, and obeys its contract.
public struct DataValidated: EventPayload, Equatable {
    public static let type: EventType = "data-validated"

    public let dataset: DatasetID
    /// The SHA-256 of the bytes.
    public let snapshot: String
    /// The snapshot's arrival number within the dataset, from 1.
    public let number: Int64
    public let uri: String?
    public let rows: Int
    /// Length of the file in bytes.
    public let bytes: Int64?
    /// Summary per column, as NauraData's profiler writes it.
    public let profile: JSONValue
    /// Rows that speak of a time before rows already known, and count as known since then.
    public let backdatedRows: Int?
    /// True when a backfill brought the file in.
    public let backfill: Bool?

    public init(
        dataset: DatasetID, snapshot: String, number: Int64, uri: String? = nil, rows: Int, bytes: Int64? = nil,
        profile: JSONValue = .object([:]), backdatedRows: Int? = nil, backfill: Bool? = nil
    ) {
        self.dataset = dataset
        self.snapshot = snapshot
        self.number = number
        self.uri = uri
        self.rows = rows
        self.bytes = bytes
        self.profile = profile
        self.backdatedRows = backdatedRows
        self.backfill = backfill
    }

    private enum CodingKeys: String, CodingKey {
        case dataset, snapshot, number, uri, rows, bytes, profile, backfill
        case backdatedRows = "backdated_rows"
    }

    public var subject: String { dataset.rawValue }
    public var isWellFormed: Bool {
        guard case .object = profile else { return false }
        return Check.name(dataset) && Check.sha256(snapshot) && number >= 1 && rows >= 0 && (bytes ?? 0) >= 0
            && (backdatedRows ?? 0) >= 0
    }
}

/// A snapshot was refused: it could not be fetched or read, or breaks its contract.
public struct DataRejected: EventPayload, Equatable {
    public static let type: EventType = "data-rejected"

    /// One rule that the data breaks.
    public struct Violation: Codable, Sendable, Equatable {
        /// The rule's name, such as `column-missing` or `type`.
        public let rule: String
        public let column: String?
        /// How many rows or values break it.
        public let count: Int
        /// A few of the values at fault.
        public let sample: [String]
        /// A sentence for people.
        public let message: String?

        public init(rule: String, column: String? = nil, count: Int, sample: [String] = [], message: String? = nil) {
            self.rule = rule
            self.column = column
            self.count = count
            self.sample = sample
            self.message = message
        }
    }

    public let dataset: DatasetID
    /// The SHA-256 of the bytes; nil when they could not be fetched.
    public let snapshot: String?
    public let number: Int64?
    public let uri: String?
    public let rows: Int?
    public let violations: [Violation]
    /// One sentence that says why, for people.
    public let reason: String?
    /// False when nobody could look at the data, so that nothing is known against them; else nil.
    public let checked: Bool?

    public init(
        dataset: DatasetID, snapshot: String? = nil, number: Int64? = nil, uri: String? = nil, rows: Int? = nil,
        violations: [Violation], reason: String? = nil, checked: Bool? = nil
    ) {
        self.dataset = dataset
        self.snapshot = snapshot
        self.number = number
        self.uri = uri
        self.rows = rows
        self.violations = violations
        self.reason = reason
        self.checked = checked
    }

    public var subject: String { dataset.rawValue }
    public var isWellFormed: Bool {
        Check.name(dataset) && Check.sha256(snapshot) && (number ?? 1) >= 1 && (rows ?? 0) >= 0
            && violations.allSatisfy { !$0.rule.isEmpty && $0.count >= 0 }
    }
}

/// Feature rows of a snapshot can be read.
public struct FeaturesReady: EventPayload, Equatable {
    public static let type: EventType = "features-ready"

    public let dataset: DatasetID
    /// The SHA-256 of the snapshot's bytes.
    public let snapshot: String
    public let number: Int64
    /// Names of the views that hold the rows.
    public let featureViews: [String]
    public let rows: Int
    /// The latest event time among the rows; nil when there are none.
    public let asOf: Date?
    /// True when a backfill brought the file in.
    public let backfill: Bool?

    public init(
        dataset: DatasetID, snapshot: String, number: Int64, featureViews: [String], rows: Int, asOf: Date? = nil,
        backfill: Bool? = nil
    ) {
        self.dataset = dataset
        self.snapshot = snapshot
        self.number = number
        self.featureViews = featureViews
        self.rows = rows
        self.asOf = asOf
        self.backfill = backfill
    }

    private enum CodingKeys: String, CodingKey {
        case dataset, snapshot, number, rows, backfill
        case featureViews = "feature_views"
        case asOf = "as_of"
    }

    public var subject: String { dataset.rawValue }
    public var isWellFormed: Bool {
        Check.name(dataset) && Check.sha256(snapshot) && number >= 1 && rows >= 0
    }
}
