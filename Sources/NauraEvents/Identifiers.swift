/// A name of something, with a type of its own, so that a model's name is never passed where a dataset's is meant.
///
/// Encoded as a plain JSON string. Two identifiers are equal when their bytes are.
public protocol Identifier: RawRepresentable, Hashable, Codable, Sendable, ExpressibleByStringLiteral,
    CustomStringConvertible, Comparable
where RawValue == String, StringLiteralType == String {
    /// The identifier that `rawValue` spells; every text is one.
    init(rawValue: String)
}

extension Identifier {
    /// The identifier that `rawValue` spells.
    @inlinable public init(_ rawValue: String) { self.init(rawValue: rawValue) }
    @inlinable public init(stringLiteral value: String) { self.init(rawValue: value) }
    /// The plain text.
    @inlinable public var description: String { rawValue }
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Names one event. Ids of Naura's own derived events are 32 hex digits; others are whatever their source chose.
public struct EventID: Identifier {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
}

/// Names a model of a project file, and the registered model whose versions it makes.
public struct ModelID: Identifier {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
}

/// Names a dataset of a project file.
public struct DatasetID: Identifier {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
}

/// Names a run: 32 hex digits, as MLflow's clients expect.
public struct RunID: Identifier {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
}

/// Names a stage: its consumer group and its inbox rows.
public struct StageName: Identifier {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
}

/// What happened; equals the name of the topic that carries it, such as `new-data`.
public struct EventType: Identifier {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
}
