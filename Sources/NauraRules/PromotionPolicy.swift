/// What a candidate must show before it may face traffic.
public struct PromotionPolicy: Codable, Sendable, Equatable {
    /// What is compared.
    public var metric: PromotionMetric
    /// How much worse than the champion a candidate may be, at 95 % confidence. In the metric's own unit, ≥ 0.
    public var margin: Double
    /// The least value of the metric that a first model must reach; nil for "better than the constant prediction".
    public var atLeast: Double?
    /// Columns whose values cut the holdout into slices, each compared alone.
    public var slices: [String]
    /// How much worse than the champion a slice may be; nil for `margin`.
    public var sliceMargin: Double?
    /// Whether a candidate must be better, not only no worse.
    public var superior: Bool
    /// The fewest entities of each class without which nothing is judged.
    public var entitiesMin: Int
    /// The seed of the bootstrap, where one is used. Recorded with the verdict.
    public var bootstrapSeed: Int

    enum CodingKeys: String, CodingKey {
        case metric, margin, atLeast, slices, sliceMargin, superior, entitiesMin, bootstrapSeed
    }

    public init(
        metric: PromotionMetric = .rocAUC, margin: Double = 0.01, atLeast: Double? = nil, slices: [String] = [],
        sliceMargin: Double? = nil, superior: Bool = false, entitiesMin: Int = 50, bootstrapSeed: Int = 7
    ) {
        self.metric = metric
        self.margin = margin
        self.atLeast = atLeast
        self.slices = slices
        self.sliceMargin = sliceMargin
        self.superior = superior
        self.entitiesMin = entitiesMin
        self.bootstrapSeed = bootstrapSeed
    }
}

/// How well scores agree with what happened.
public enum PromotionMetric: String, Codable, Sendable, CaseIterable {
    /// The chance that a positive scores above a negative (ties half); greater is better.
    case rocAUC = "roc-auc"
    /// The mean of −ln of the probability given to what happened; smaller is better.
    case logLoss = "log-loss"
    /// The share of rows on the right side of 0.5; greater is better.
    case accuracy

    /// Whether a greater value is better.
    public var isGreaterBetter: Bool { self != .logLoss }
}
