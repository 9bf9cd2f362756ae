/// What a team wants, whole: the content of one `naura.yaml`, read and checked.
public struct ProjectDefinition: Codable, Sendable, Equatable {
    /// The project's name.
    public var name: String
    /// Datasets by name.
    public var datasets: [String: DatasetDefinition]
    /// Feature views by name.
    public var featureViews: [String: FeatureViewDefinition]
    /// Models by name.
    public var models: [String: ModelDefinition]
    /// Where people are told, by the name that a model's `notify` uses.
    public var notify: [String: NotifyChannel]

    public init(
        name: String, datasets: [String: DatasetDefinition] = [:], featureViews: [String: FeatureViewDefinition] = [:],
        models: [String: ModelDefinition] = [:], notify: [String: NotifyChannel] = [:]
    ) {
        self.name = name
        self.datasets = datasets
        self.featureViews = featureViews
        self.models = models
        self.notify = notify
    }
}
