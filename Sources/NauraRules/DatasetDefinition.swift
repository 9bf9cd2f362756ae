/// A stream of files of one shape: what identifies a row, when its values became true, and when they became known.
public struct DatasetDefinition: Codable, Sendable, Equatable {
    /// The dataset's name, the subject of its events.
    public var name: String
    /// The column that names the entity of a row.
    public var key: String
    /// When a row's values became true (event time).
    public var timestamp: TimestampSource
    /// When a row's values became known (created time).
    public var created: CreatedSource
    /// What a file must look like to be let in.
    public var contract: Contract

    public init(
        name: String, key: String, timestamp: TimestampSource = .arrival, created: CreatedSource = .event,
        contract: Contract = Contract()
    ) {
        self.name = name
        self.key = key
        self.timestamp = timestamp
        self.created = created
        self.contract = contract
    }
}

/// Where a row's event time comes from.
public enum TimestampSource: Sendable, Equatable {
    /// The moment the file's event arrived, the same for all its rows.
    case arrival
    /// A column of the file.
    case column(String)

    /// The column's name; nil for arrival.
    public var column: String? {
        if case .column(let name) = self { name } else { nil }
    }
}

/// Where a row's created time comes from.
public enum CreatedSource: Sendable, Equatable {
    /// The row's event time: history loaded today still counts as known then.
    case event
    /// The moment the file's event arrived.
    case arrival
    /// A column of the file.
    case column(String)

    /// The column's name; nil for the others.
    public var column: String? {
        if case .column(let name) = self { name } else { nil }
    }
}

/// How both sources are written: the bare word, or `{"column": name}`.
private enum SourceWord: Codable {
    case word(String)
    case column(String)

    private enum CodingKeys: String, CodingKey { case column }

    init(from decoder: any Decoder) throws {
        do {
            self = .word(try decoder.singleValueContainer().decode(String.self))
        } catch DecodingError.typeMismatch {
            self = .column(try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .column))
        }
    }

    func encode(to encoder: any Encoder) throws {
        switch self {
        case .word(let word):
            var container = encoder.singleValueContainer()
            try container.encode(word)
        case .column(let name):
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .column)
        }
    }

    func fault(_ decoder: any Decoder, _ expected: String) -> DecodingError {
        .dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "expected \(expected), found \(self)"))
    }
}

extension TimestampSource: Codable {
    public init(from decoder: any Decoder) throws {
        switch try SourceWord(from: decoder) {
        case .word("arrival"): self = .arrival
        case .column(let name): self = .column(name)
        case let other: throw other.fault(decoder, "arrival or a column")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .arrival: try SourceWord.word("arrival").encode(to: encoder)
        case .column(let name): try SourceWord.column(name).encode(to: encoder)
        }
    }
}

extension CreatedSource: Codable {
    public init(from decoder: any Decoder) throws {
        switch try SourceWord(from: decoder) {
        case .word("event"): self = .event
        case .word("arrival"): self = .arrival
        case .column(let name): self = .column(name)
        case let other: throw other.fault(decoder, "event, arrival or a column")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .event: try SourceWord.word("event").encode(to: encoder)
        case .arrival: try SourceWord.word("arrival").encode(to: encoder)
        case .column(let name): try SourceWord.column(name).encode(to: encoder)
        }
    }
}
