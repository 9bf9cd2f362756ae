public import NauraPostgres

/// What an entity turned out to be at one moment.
public struct LabelRow: Sendable, Equatable {
    /// Who the label is about.
    public let entityKey: String
    /// The moment that the label speaks of, in microseconds since 1970.
    public let event: Int64
    /// When it became known, in microseconds since 1970.
    public let created: Int64
    /// The row's number within its snapshot, from 1.
    public let rowNumber: Int64
    /// The label as its contract's type writes it.
    public let label: String

    public init(entityKey: String, event: Int64, created: Int64, rowNumber: Int64, label: String) {
        self.entityKey = entityKey
        self.event = event
        self.created = created
        self.rowNumber = rowNumber
        self.label = label
    }
}

/// Where the labels of one snapshot and one column are written.
public struct LabelTarget: Sendable, Equatable {
    /// The dataset's name.
    public let dataset: String
    /// The column that holds the labels.
    public let column: String
    /// The snapshot's number.
    public let number: Int64
    /// Whether the snapshot can be read already: its labels are then written under a name that nobody reads.
    public let isDraft: Bool

    public init(dataset: String, column: String, number: Int64, isDraft: Bool) {
        self.dataset = dataset
        self.column = column
        self.number = number
        self.isDraft = isDraft
    }

    fileprivate var name: String { isDraft ? "\(column) (being written)" : column }
}

/// Labelled moments, one set for each column that a model reads.
///
/// Rows of a snapshot that is not ready are invisible. Rows that are added to one that is ready already, since a model has
/// come to read another column, are drafts until ``reveal(_:in:)``.
public enum LabelRows {
    /// Appends labels.
    public static func write(_ rows: [LabelRow], to target: LabelTarget, in transaction: Transaction) async throws {
        try await transaction.copy(
            into: "naura.label_row",
            columns: [
                "dataset", "column_name", "entity_key", "event_at", "created_at", "number", "row_number", "label",
            ],
            rows: rows.lazy.map { row in
                [
                    .text(target.dataset), .text(target.name), .text(row.entityKey), .moment(row.event),
                    .moment(row.created), .int8(target.number), .int8(row.rowNumber), .text(row.label),
                ]
            })
    }

    /// Removes what an interrupted attempt wrote.
    public static func clear(_ target: LabelTarget, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            delete from naura.label_row where dataset = \(target.dataset) and column_name = \(target.name)
            and number = \(target.number)
            """)
    }

    /// Puts drafts in the place of the labels that the snapshot had of this column; does nothing to others.
    public static func reveal(_ target: LabelTarget, in transaction: Transaction) async throws {
        guard target.isDraft else { return }
        try await transaction.execute(
            """
            delete from naura.label_row where dataset = \(target.dataset) and column_name = \(target.column)
            and number = \(target.number)
            """)
        try await transaction.execute(
            """
            update naura.label_row set column_name = \(target.column)
            where dataset = \(target.dataset) and column_name = \(target.name) and number = \(target.number)
            """)
    }
}
