/// What trains a model.
public enum TrainerDefinition: Sendable, Equatable {
    /// The built-in trainer: gradient-boosted trees by XGBoost's C API.
    case xgboost(XGBoostParameters)

    /// The word of the project file.
    public var kind: String {
        switch self {
        case .xgboost: "xgboost"
        }
    }

    /// Every parameter with its value as text, in a fixed order: part of a run's identity, and what runs record.
    public var parameters: [(name: String, value: String)] {
        switch self {
        case .xgboost(let parameters): parameters.canonical
        }
    }

    /// The seed of everything random in the training.
    public var seed: Int {
        switch self {
        case .xgboost(let parameters): parameters.seed
        }
    }
}

/// The parameters of the built-in trainer. Names and defaults are XGBoost's, unless said.
public struct XGBoostParameters: Codable, Sendable, Equatable {
    /// Trees to grow.
    public var rounds: Int
    /// The deepest a tree may grow.
    public var maxDepth: Int
    /// The share of each tree's answer that counts (eta), above 0, at most 1.
    public var learningRate: Double
    /// The seed of the row and column samples.
    public var seed: Int
    /// The share of rows each tree sees, above 0, at most 1.
    public var subsample: Double
    /// The share of columns each tree sees, above 0, at most 1.
    public var colsampleByTree: Double
    /// The least sum of hessians in a leaf.
    public var minChildWeight: Double
    /// The least gain of a split.
    public var gamma: Double
    /// L2 regularisation of leaf weights.
    public var lambda: Double
    /// L1 regularisation of leaf weights.
    public var alpha: Double
    /// Bins of a numeric column (tree method `hist`).
    public var maxBins: Int
    /// Rounds without a better validation score after which training stops; nil to grow all trees.
    public var earlyStoppingRounds: Int?
    /// The share of the training entities cut off for the metrics of each step, 0 to 1. Never of the holdout.
    public var validationShare: Double
    /// Categories of a text feature that get a column of their own; rarer ones share "all zero".
    public var categoriesMax: Int

    enum CodingKeys: String, CodingKey {
        case rounds, maxDepth, learningRate, seed, subsample, colsampleByTree, minChildWeight, gamma, lambda, alpha,
            maxBins, earlyStoppingRounds, validationShare, categoriesMax
    }

    public init(
        rounds: Int = 100, maxDepth: Int = 6, learningRate: Double = 0.3, seed: Int = 0, subsample: Double = 1,
        colsampleByTree: Double = 1, minChildWeight: Double = 1, gamma: Double = 0, lambda: Double = 1,
        alpha: Double = 0, maxBins: Int = 256, earlyStoppingRounds: Int? = nil, validationShare: Double = 0.1,
        categoriesMax: Int = 64
    ) {
        self.rounds = rounds
        self.maxDepth = maxDepth
        self.learningRate = learningRate
        self.seed = seed
        self.subsample = subsample
        self.colsampleByTree = colsampleByTree
        self.minChildWeight = minChildWeight
        self.gamma = gamma
        self.lambda = lambda
        self.alpha = alpha
        self.maxBins = maxBins
        self.earlyStoppingRounds = earlyStoppingRounds
        self.validationShare = validationShare
        self.categoriesMax = categoriesMax
    }

    /// Every parameter by the project file's word, sorted by name; a number is its shortest text that reads back equal.
    public var canonical: [(name: String, value: String)] {
        [
            ("alpha", String(alpha)), ("categories-max", String(categoriesMax)),
            ("colsample-by-tree", String(colsampleByTree)),
            ("early-stopping-rounds", earlyStoppingRounds.map { String($0) } ?? "none"), ("gamma", String(gamma)),
            ("kind", "xgboost"), ("lambda", String(lambda)), ("learning-rate", String(learningRate)),
            ("max-bins", String(maxBins)), ("max-depth", String(maxDepth)),
            ("min-child-weight", String(minChildWeight)), ("rounds", String(rounds)), ("seed", String(seed)),
            ("subsample", String(subsample)), ("validation-share", String(validationShare)),
        ]
    }
}

extension TrainerDefinition: Codable {
    private enum CodingKeys: String, CodingKey { case kind, xgboost }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let kind = try container.decode(String.self, forKey: .kind)
        guard kind == "xgboost" else {
            throw DecodingError.dataCorruptedError(
                forKey: .kind, in: container, debugDescription: "a trainer's kind is xgboost, found \(kind)")
        }
        self = .xgboost(try container.decode(XGBoostParameters.self, forKey: .xgboost))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(kind, forKey: .kind)
        switch self {
        case .xgboost(let parameters): try container.encode(parameters, forKey: .xgboost)
        }
    }
}
