import Foundation

/// A training has ended with a new version.
public struct ModelTrained: EventPayload, Equatable {
    public static let type: EventType = "model-trained"

    public let model: ModelID
    public let version: Int
    public let run: RunID
    /// The SHA-256 of the rows that it was trained on.
    public let trainingSet: String
    /// The SHA-256 over the files that follow from data, parameters, seed and library.
    public let digest: String
    /// The SHA-256 under which the artifact store holds the package.
    public let artifact: String
    /// The last value of each metric.
    public let metrics: [String: Double]
    /// Ids of all events that this training answers.
    public let causes: [EventID]
    /// The commit whose code was asked for, when a merge was among the causes.
    public let codeCommit: String?
    /// True when only a backfill asked for the training: the version is judged, and waits for a person to promote it.
    public let backfill: Bool?

    public init(
        model: ModelID, version: Int, run: RunID, trainingSet: String, digest: String, artifact: String,
        metrics: [String: Double], causes: [EventID], codeCommit: String? = nil,
        backfill: Bool? = nil
    ) {
        self.model = model
        self.version = version
        self.run = run
        self.trainingSet = trainingSet
        self.digest = digest
        self.artifact = artifact
        self.metrics = metrics
        self.causes = causes
        self.codeCommit = codeCommit
        self.backfill = backfill
    }

    private enum CodingKeys: String, CodingKey {
        case model, version, run, digest, artifact, metrics, causes, backfill
        case trainingSet = "training_set"
        case codeCommit = "code_commit"
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool {
        Check.name(model) && version >= 1 && !run.rawValue.isEmpty && Check.sha256(trainingSet)
            && Check.sha256(digest) && Check.sha256(artifact)
    }
}

/// What the gate saw when it compared a candidate with the champion.
public struct EvaluationSummary: Codable, Sendable, Equatable {
    /// One value of one column, judged by itself.
    public struct Slice: Codable, Sendable, Equatable {
        public let column: String
        public let value: String
        /// `passed`, `blocked` or `not-judged`.
        public let verdict: String
        public let entities: Int?
        public let difference: Double?
        public let lower: Double?
        public let upper: Double?

        public init(
            column: String, value: String, verdict: String, entities: Int? = nil, difference: Double? = nil,
            lower: Double? = nil, upper: Double? = nil
        ) {
            self.column = column
            self.value = value
            self.verdict = verdict
            self.entities = entities
            self.difference = difference
            self.lower = lower
            self.upper = upper
        }
    }

    /// `promoted`, `rejected`, `unchanged` or `cannot-judge`.
    public let verdict: String
    /// The metric that decided, such as `roc-auc`.
    public let metric: String
    public let candidate: Double?
    public let championScore: Double?
    /// Candidate − champion, with the bounds of its interval.
    public let difference: Double?
    public let lower: Double?
    public let upper: Double?
    /// A sentence for people.
    public let reason: String
    public let slices: [Slice]?
    public let holdoutRows: Int?
    public let holdoutEntities: Int?
    /// Further metrics of the candidate, reported but not deciding.
    public let metrics: [String: Double]?

    public init(
        verdict: String, metric: String, candidate: Double? = nil, championScore: Double? = nil,
        difference: Double? = nil, lower: Double? = nil, upper: Double? = nil, reason: String,
        slices: [Slice]? = nil, holdoutRows: Int? = nil, holdoutEntities: Int? = nil,
        metrics: [String: Double]? = nil
    ) {
        self.verdict = verdict
        self.metric = metric
        self.candidate = candidate
        self.championScore = championScore
        self.difference = difference
        self.lower = lower
        self.upper = upper
        self.reason = reason
        self.slices = slices
        self.holdoutRows = holdoutRows
        self.holdoutEntities = holdoutEntities
        self.metrics = metrics
    }

    private enum CodingKeys: String, CodingKey {
        case verdict, metric, candidate, difference, lower, upper, reason, slices, metrics
        case championScore = "champion_score"
        case holdoutRows = "holdout_rows"
        case holdoutEntities = "holdout_entities"
    }

    var isWellFormed: Bool { !verdict.isEmpty && (holdoutRows ?? 0) >= 0 && (holdoutEntities ?? 0) >= 0 }
}

/// A version has passed the gate, or a person has promoted it past the gate; a rollout follows.
public struct ModelPromoted: EventPayload, Equatable {
    public static let type: EventType = "model-promoted"

    public let model: ModelID
    public let version: Int
    /// The champion that it was compared with; nil when there was none.
    public let champion: Int?
    /// Nil when a person promoted it.
    public let evaluation: EvaluationSummary?
    /// Who promoted it by hand.
    public let requestedBy: String?
    public let reason: String?

    public init(
        model: ModelID, version: Int, champion: Int? = nil, evaluation: EvaluationSummary? = nil,
        requestedBy: String? = nil, reason: String? = nil
    ) {
        self.model = model
        self.version = version
        self.champion = champion
        self.evaluation = evaluation
        self.requestedBy = requestedBy
        self.reason = reason
    }

    private enum CodingKeys: String, CodingKey {
        case model, version, champion, evaluation, reason
        case requestedBy = "requested_by"
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool {
        Check.name(model) && version >= 1 && (champion ?? 1) >= 1 && (evaluation?.isWellFormed ?? true)
    }
}

/// A version was refused by the gate, or is no news.
public struct ModelRejected: EventPayload, Equatable {
    public static let type: EventType = "model-rejected"

    public let model: ModelID
    public let version: Int
    public let champion: Int?
    public let evaluation: EvaluationSummary?
    public let requestedBy: String?
    public let reason: String?

    public init(
        model: ModelID, version: Int, champion: Int? = nil, evaluation: EvaluationSummary? = nil,
        requestedBy: String? = nil, reason: String? = nil
    ) {
        self.model = model
        self.version = version
        self.champion = champion
        self.evaluation = evaluation
        self.requestedBy = requestedBy
        self.reason = reason
    }

    private enum CodingKeys: String, CodingKey {
        case model, version, champion, evaluation, reason
        case requestedBy = "requested_by"
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool {
        Check.name(model) && version >= 1 && (champion ?? 1) >= 1 && (evaluation?.isWellFormed ?? true)
    }
}
