import Foundation

/// Code was merged into a branch.
public struct CodeMerged: EventPayload, Equatable {
    public static let type: EventType = "code-merged"

    /// The repository's name, such as `acme/churn`.
    public let repository: String
    /// The commit's hash: 7 to 64 hex digits.
    public let commit: String
    /// The branch, such as `refs/heads/main`.
    public let ref: String
    /// The files that changed.
    public let paths: [String]
    public let author: String?
    public let mergedAt: Date?
    /// A container image built from the commit.
    public let image: String?

    public init(
        repository: String, commit: String, ref: String, paths: [String], author: String? = nil,
        mergedAt: Date? = nil, image: String? = nil
    ) {
        self.repository = repository
        self.commit = commit
        self.ref = ref
        self.paths = paths
        self.author = author
        self.mergedAt = mergedAt
        self.image = image
    }

    private enum CodingKeys: String, CodingKey {
        case repository, commit, ref, paths, author, image
        case mergedAt = "merged_at"
    }

    public var subject: String { repository }
    public var isWellFormed: Bool { Check.name(repository) && Check.commit(commit) && !ref.isEmpty }
}

/// A model is to be trained again: its calendar says so, or a person.
public struct RetrainDue: EventPayload, Equatable {
    public static let type: EventType = "retrain-due"

    public let model: ModelID
    /// The calendar's slot that came due.
    public let slot: Date?
    /// Who asked, when a person did.
    public let requestedBy: String?
    public let reason: String?

    public init(model: ModelID, slot: Date? = nil, requestedBy: String? = nil, reason: String? = nil) {
        self.model = model
        self.slot = slot
        self.requestedBy = requestedBy
        self.reason = reason
    }

    private enum CodingKeys: String, CodingKey {
        case model, slot, reason
        case requestedBy = "requested_by"
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool { Check.name(model) && (slot != nil || requestedBy != nil) }
}

/// Live traffic no longer looks like what a version was trained on, or looks like it again.
public struct DriftAlert: EventPayload, Equatable {
    public static let type: EventType = "drift-alert"

    /// What has drifted.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case data, prediction, concept, schema, quality
    }

    /// Whether the alert opens (or repeats) or ends.
    public enum State: String, Codable, Sendable, CaseIterable {
        case firing, resolved
    }

    /// One column's evidence.
    public struct Column: Codable, Sendable, Equatable {
        public let name: String
        /// The statistic's name, such as `psi`.
        public let method: String
        public let statistic: Double
        public let threshold: Double
        public let pValue: Double?

        public init(name: String, method: String, statistic: Double, threshold: Double, pValue: Double? = nil) {
            self.name = name
            self.method = method
            self.statistic = statistic
            self.threshold = threshold
            self.pValue = pValue
        }

        private enum CodingKeys: String, CodingKey {
            case name, method, statistic, threshold
            case pValue = "p_value"
        }
    }

    public let model: ModelID
    public let version: Int
    public let kind: Kind
    /// The window that was compared.
    public let window: TimeWindow
    public let columns: [Column]
    public let state: State
    /// A sentence for people.
    public let reason: String?

    public init(
        model: ModelID, version: Int, kind: Kind, window: TimeWindow, columns: [Column], state: State,
        reason: String? = nil
    ) {
        self.model = model
        self.version = version
        self.kind = kind
        self.window = window
        self.columns = columns
        self.state = state
        self.reason = reason
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool {
        Check.name(model) && version >= 1 && columns.allSatisfy { !$0.name.isEmpty && !$0.method.isEmpty }
    }
}
