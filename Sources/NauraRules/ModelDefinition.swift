/// One model as the project file wants it: what it learns, from what, when, and how it reaches people.
public struct ModelDefinition: Codable, Sendable, Equatable {
    /// The model's name.
    public var name: String
    /// What is to be predicted.
    public var label: LabelDefinition
    /// The feature views it reads, by name, in order.
    public var features: [String]
    /// The share of entities kept away from training, 0 to 1.
    public var holdoutShare: Double
    /// What trains it.
    public var trainer: TrainerDefinition
    /// Which merges retrain it; nil when none does.
    public var code: CodeScope?
    /// When it is trained again.
    public var retrain: RetrainPolicy
    /// What a candidate must show.
    public var promote: PromotionPolicy
    /// How traffic is shifted to it.
    public var rollout: RolloutPolicy
    /// How its live traffic is watched.
    public var monitor: MonitorPolicy
    /// Channels that are told, by name.
    public var notify: [String]

    public init(
        name: String, label: LabelDefinition, features: [String], holdoutShare: Double = 0.2,
        trainer: TrainerDefinition = .xgboost(XGBoostParameters()), code: CodeScope? = nil,
        retrain: RetrainPolicy = RetrainPolicy(), promote: PromotionPolicy = PromotionPolicy(),
        rollout: RolloutPolicy = RolloutPolicy(), monitor: MonitorPolicy = MonitorPolicy(), notify: [String] = []
    ) {
        self.name = name
        self.label = label
        self.features = features
        self.holdoutShare = holdoutShare
        self.trainer = trainer
        self.code = code
        self.retrain = retrain
        self.promote = promote
        self.rollout = rollout
        self.monitor = monitor
        self.notify = notify
    }
}

/// The column that a model learns to predict.
public struct LabelDefinition: Codable, Sendable, Equatable {
    /// The dataset that holds the labels.
    public var dataset: String
    /// The column.
    public var column: String
    /// The value that counts as positive; nil for the rarer of the two found in the training set.
    public var positive: String?

    public init(dataset: String, column: String, positive: String? = nil) {
        self.dataset = dataset
        self.column = column
        self.positive = positive
    }
}
