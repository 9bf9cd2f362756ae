/// What a dataset's files must look like.
public struct Contract: Codable, Sendable, Equatable {
    /// One rule a column, in the order of the contract file.
    public var columns: [ColumnRule]
    /// Whether columns without a rule are let in (and ignored).
    public var allowExtraColumns: Bool
    /// The fewest rows a file may have; nil for one.
    public var rowsMin: Int?

    public init(columns: [ColumnRule] = [], allowExtraColumns: Bool = true, rowsMin: Int? = nil) {
        self.columns = columns
        self.allowExtraColumns = allowExtraColumns
        self.rowsMin = rowsMin
    }

    /// The rule of the column called `name`, if there is one.
    public func column(_ name: String) -> ColumnRule? {
        columns.first { $0.name == name }
    }
}

/// What one column must hold.
public struct ColumnRule: Codable, Sendable, Equatable {
    /// The column's name in the header.
    public var name: String
    /// How its cells are read.
    public var type: ColumnType
    /// Whether a file without this column is refused.
    public var required: Bool
    /// Whether cells may be empty.
    public var nullable: Bool
    /// The greatest share of empty cells, 0 to 1; nil for no limit. Counts only where cells may be empty.
    public var maxNullShare: Double?
    /// The least number allowed, itself included.
    public var minimum: Double?
    /// The greatest number allowed, itself included.
    public var maximum: Double?
    /// The texts allowed; nil for any.
    public var values: [String]?
    /// Whether no value may occur twice in one file.
    public var unique: Bool

    public init(
        name: String, type: ColumnType, required: Bool = true, nullable: Bool = true, maxNullShare: Double? = nil,
        minimum: Double? = nil, maximum: Double? = nil, values: [String]? = nil, unique: Bool = false
    ) {
        self.name = name
        self.type = type
        self.required = required
        self.nullable = nullable
        self.maxNullShare = maxNullShare
        self.minimum = minimum
        self.maximum = maximum
        self.values = values
        self.unique = unique
    }
}

/// How the cells of a column are read.
public enum ColumnType: String, Codable, Sendable, CaseIterable {
    case integer, number, text, boolean, timestamp

    /// What an expression sees of such a column: text stays text, all else is a number.
    public var featureType: FeatureType { self == .text ? .text : .number }
}

/// One way in which a file breaks its contract.
public struct Violation: Codable, Sendable, Equatable {
    /// The rule's name: `missing-column`, `type`, `not-null`, `minimum`, `values`, `unique`, …
    public var rule: String
    /// The column at fault; nil when it is the file as a whole.
    public var column: String?
    /// How many rows (or columns) break the rule.
    public var count: Int
    /// A few of the values found.
    public var sample: [String]
    /// What was found and what was expected, for people.
    public var message: String

    public init(rule: String, column: String? = nil, count: Int, sample: [String] = [], message: String) {
        self.rule = rule
        self.column = column
        self.count = count
        self.sample = sample
        self.message = message
    }
}
