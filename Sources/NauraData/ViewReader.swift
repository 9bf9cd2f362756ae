import NauraRules

/// Computes one view's features from the rows of one file.
public struct ViewReader {
    private enum Source {
        /// A column as it stands: the usual case, and four times faster than an expression.
        case column(Int, ColumnType)
        case expression(FeatureExpression)
    }

    /// The view's numbers and texts of one row, each in the order of the features.
    public struct Values: Sendable, Equatable {
        /// The features of type number.
        public var numbers: [Double?] = []
        /// The features of type text.
        public var texts: [String?] = []
    }

    /// What the features held so far.
    public private(set) var statistics: [FeatureStatistics]
    private let sources: [Source]
    private let types: [FeatureType]
    private let columns: [String: (index: Int, type: ColumnType)]

    /// A reader of `view` for a file with these columns; a column that the file lacks is null.
    public init(_ view: FeatureViewDefinition, contract: Contract, columns names: [String]) {
        var columns: [String: (index: Int, type: ColumnType)] = [:]
        for (index, name) in names.enumerated() { columns[name] = (index, contract.column(name)?.type ?? .text) }
        self.columns = columns
        types = view.features.map(\.type)
        statistics = view.features.map { FeatureStatistics(name: $0.name, type: $0.type) }
        sources = view.features.map { feature in
            let expression = feature.expression
            guard let name = expression.referencedColumns.first, let column = columns[name],
                FeatureExpression.column(name).source == expression.source
            else { return .expression(expression) }
            return .column(column.index, column.type)
        }
    }

    /// The features of one row. Numbers that are not finite count as null.
    public mutating func values(_ fields: RecordFields, _ cells: UnsafeBufferPointer<Cell>) -> Values {
        var values = Values()
        for index in sources.indices {
            let value: CellValue
            switch sources[index] {
            case .column(let column, let type): value = cells[column].value(fields[column], type: type)
            case .expression(let expression):
                value = expression.evaluate { name in
                    guard let column = columns[name] else { return .null }
                    return cells[column.index].value(fields[column.index], type: column.type)
                }
            }
            switch types[index] {
            case .number:
                let number = value.number.flatMap { $0.isFinite ? $0 : nil }
                values.numbers.append(number)
                statistics[index].add(number)
            case .text:
                values.texts.append(value.text)
                statistics[index].add(value.text)
            }
        }
        return values
    }
}

/// What one feature holds in one snapshot.
public struct FeatureStatistics: Sendable, Encodable {
    /// The feature's name.
    public let name: String
    /// Decides what is counted.
    public let type: FeatureType
    public private(set) var nulls = 0
    private var moments = RunningMoments()
    private var counter = ValueCounter()

    init(name: String, type: FeatureType) {
        self.name = name
        self.type = type
    }

    mutating func add(_ number: Double?) {
        if let number { moments.add(number) } else { nulls += 1 }
    }

    mutating func add(_ text: String?) {
        guard var text else { return nulls += 1 }
        text.withUTF8 { counter.count($0) }
    }

    private enum CodingKeys: String, CodingKey {
        case name, type, nulls, minimum, maximum, mean, distinct, top
        case standardDeviation = "standard_deviation"
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(type, forKey: .type)
        try container.encode(nulls, forKey: .nulls)
        switch type {
        case .number:
            try container.encodeIfPresent(moments.minimum, forKey: .minimum)
            try container.encodeIfPresent(moments.maximum, forKey: .maximum)
            try container.encodeIfPresent(moments.mean, forKey: .mean)
            try container.encodeIfPresent(moments.standardDeviation, forKey: .standardDeviation)
        case .text:
            try container.encode(counter.distinct, forKey: .distinct)
            try container.encode(Array((counter.frequencies ?? []).prefix(10)), forKey: .top)
        }
    }
}

/// Finds the entity, the moments and the label of each row of one file.
public struct RowReader: Sendable {
    private let key: Int
    private let keyType: ColumnType
    private let timestamp: Int?
    private let created: CreatedSource
    private let createdColumn: Int?
    private let arrival: Int64

    /// Who a row is about, and when, in microseconds since 1970.
    public struct Identity: Sendable, Equatable {
        /// The entity's key, without blanks around it.
        public let key: String
        /// When the row's values became true.
        public let event: Int64
        /// When they became known.
        public let created: Int64
    }

    /// A reader of rows of `dataset`, in a file that arrived at `arrival` (microseconds since 1970).
    ///
    /// - Throws: ``DataFault`` `unusable` when the file lacks the key or a moment.
    public init(_ dataset: DatasetDefinition, columns: [String], arrival: Int64) throws(DataFault) {
        func place(_ column: String) throws(DataFault) -> Int {
            if let index = columns.firstIndex(of: column) { return index }
            throw DataFault(.unusable, "the file has no column '\(column)', which dataset \(dataset.name) needs")
        }
        key = try place(dataset.key)
        keyType = dataset.contract.column(dataset.key)?.type ?? .text
        timestamp = if let column = dataset.timestamp.column { try place(column) } else { nil }
        created = dataset.created
        createdColumn = if let column = dataset.created.column { try place(column) } else { nil }
        self.arrival = arrival
    }

    /// Nil for a row without key or event time, which a contract lets in only if it was changed afterwards.
    public func identity(_ fields: RecordFields, _ cells: UnsafeBufferPointer<Cell>) -> Identity? {
        let cell = cells[key]
        guard cell.kind != .blank else { return nil }
        var event = arrival
        if let timestamp {
            guard let moment = cells[timestamp].moment else { return nil }
            event = moment
        }
        let known =
            switch created {
            case .event: event
            case .arrival: arrival
            case .column: createdColumn.flatMap { cells[$0].moment } ?? event
            }
        // Programs that know no missing integer write the key 5 as 5.0.
        let isRewritten = keyType == .integer && cell.kind == .number
        let text = isRewritten ? cell.canonicalText(fields[key], type: .integer) : Cell.trimmed(fields[key]).text
        return Identity(key: text, event: event, created: known)
    }
}

extension UnsafeBufferPointer<UInt8> {
    var text: String { String(decoding: self, as: UTF8.self) }
}
