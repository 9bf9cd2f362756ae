import NauraRules

/// What a file holds: one entry a column. The same bytes give the same profile.
public struct Profile: Codable, Sendable, Equatable {
    /// Data rows.
    public var rows: Int64
    /// In the file's order.
    public var columns: [ColumnProfile]

    /// A profile of `rows` rows.
    public init(rows: Int64, columns: [ColumnProfile]) {
        self.rows = rows
        self.columns = columns
    }

    /// The profile as an event carries it: a record in Kafka holds a million bytes, so that wide files lose their most
    /// frequent values, and very wide ones all but the first columns.
    public var summary: Profile {
        var summary = Profile(rows: rows, columns: Array(columns.prefix(2_000)))
        for index in summary.columns.indices {
            let top = summary.columns[index].top
            summary.columns[index].top = columns.count > 200 ? [] : Array(top.prefix(5))
        }
        return summary
    }

    /// The column called `name`, if there is one.
    public func column(_ name: String) -> ColumnProfile? { columns.first { $0.name == name } }
}

/// What one column holds.
public struct ColumnProfile: Codable, Sendable, Equatable {
    /// The column's name, as the file writes it.
    public var name: String
    /// The narrowest type that all its values have; text when it has no value.
    public var type: ColumnType
    /// Rows without a value: blank, or in a column that is not text marked `NA` and the like.
    public var nulls: Int64
    /// Different values; exact up to 10,000, where counting ends.
    public var distinct: Int
    /// Whether there are more than `distinct`.
    public var distinctIsCapped: Bool
    /// The least and greatest number; seconds since the epoch for a timestamp; nil for text.
    public var minimum: Double?
    /// See `minimum`.
    public var maximum: Double?
    /// The mean; nil for text.
    public var mean: Double?
    /// The sample standard deviation (n − 1); nil for text and below two values.
    public var standardDeviation: Double?
    /// The most frequent values, at most ten; empty where there are more than 1,000 different ones.
    public var top: [ValueCount]

    enum CodingKeys: String, CodingKey {
        case name, type, nulls, distinct, minimum, maximum, mean, top
        case distinctIsCapped = "distinct_is_capped"
        case standardDeviation = "standard_deviation"
    }
}

/// A value and how often it occurs.
public struct ValueCount: Codable, Sendable, Equatable {
    /// The value's text, at most 100 bytes of it.
    public var value: String
    /// Rows that hold it.
    public var count: Int

    /// `count` occurrences of `value`.
    public init(value: String, count: Int) {
        self.value = value
        self.count = count
    }
}
