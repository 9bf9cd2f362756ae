public import NauraPostgres

/// A labelled moment of an entity.
public struct LabelledMoment: Sendable, Equatable {
    /// The entity.
    public let key: String
    /// Microseconds since 1970-01-01 00:00 UTC.
    public let moment: Int64
    /// The label as the data has it.
    public let label: String

    public init(key: String, moment: Int64, label: String) {
        self.key = key
        self.moment = moment
        self.label = label
    }
}

/// Where a training set is, and what it was made from.
public struct TrainingSetRecord: Codable, Sendable, Equatable {
    /// The SHA-256 of its rows; the artifact store has them under this name.
    public let sha256: String
    public let model: String
    public let rows: Int
    public let holdoutRows: Int
    /// The label that counts as positive.
    public let positive: String
    /// The SHA-256 under which the artifact store has the rows' moments, one a line.
    public let moments: String

    public init(sha256: String, model: String, rows: Int, holdoutRows: Int, positive: String, moments: String) {
        self.sha256 = sha256
        self.model = model
        self.rows = rows
        self.holdoutRows = holdoutRows
        self.positive = positive
        self.moments = moments
    }
}

/// Training sets on record.
public enum TrainingSets {
    /// Puts a training set on record; the same set again changes nothing.
    public static func record(_ set: TrainingSetRecord, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            insert into naura.training_set (sha256, model, artifact, rows, holdout_rows, positive, definition)
            values (\(set.sha256), \(set.model), \(set.sha256), \(set.rows), \(set.holdoutRows), \(set.positive),
                \(json: set))
            on conflict (sha256) do nothing
            """)
    }

    /// The training set called `sha256`.
    public static func find(_ sha256: String, in transaction: Transaction) async throws -> TrainingSetRecord? {
        try await transaction.first("select definition from naura.training_set where sha256 = \(sha256)")?
            .json("definition")
    }
}
