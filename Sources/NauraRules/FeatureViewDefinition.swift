/// Features of one kind of entity, computed from one dataset's rows.
public struct FeatureViewDefinition: Codable, Sendable, Equatable {
    /// The view's name.
    public var name: String
    /// What a row is about: `customer`.
    public var entity: String
    /// The column that names the entity: the dataset's key.
    public var joinKey: String
    /// The dataset whose rows become feature rows.
    public var dataset: String
    /// How long a row stays valid after its event time; nil for ever.
    public var ttlSeconds: Double?
    /// The features, in file order.
    public var features: [FeatureDefinition]

    public init(
        name: String, entity: String, joinKey: String, dataset: String, ttlSeconds: Double? = nil,
        features: [FeatureDefinition]
    ) {
        self.name = name
        self.entity = entity
        self.joinKey = joinKey
        self.dataset = dataset
        self.ttlSeconds = ttlSeconds
        self.features = features
    }
}

/// One feature: a name, how it is computed, and what it is.
public struct FeatureDefinition: Codable, Sendable, Equatable {
    /// The feature's name.
    public var name: String
    /// How it is computed from a row's columns.
    public var expression: FeatureExpression
    /// Whether its values are numbers or texts.
    public var type: FeatureType

    public init(name: String, expression: FeatureExpression, type: FeatureType) {
        self.name = name
        self.expression = expression
        self.type = type
    }
}

/// Whether a feature's values are numbers or texts.
public enum FeatureType: String, Codable, Sendable, CaseIterable {
    case number, text
}
