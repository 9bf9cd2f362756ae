// The rows of the lists: what people and programs see of runs, models, rollouts, drift and alerts.

import Foundation

/// A run as lists show it.
public struct RunRow: Codable, Sendable, Equatable {
    public let id: String
    public let model: String?
    /// The version that it made; nil while it runs, or when it made none.
    public let version: Int?
    /// `running`, `finished`, `failed` or `killed`.
    public let state: String
    public let trainingSet: String?
    public let digest: String?
    /// The last value of each metric.
    public let metrics: [String: Double]
    /// Ids of the events that it answers.
    public let causes: [String]
    public let codeCommit: String?
    public let startedAt: Date
    public let endedAt: Date?

    private enum CodingKeys: String, CodingKey {
        case id, model, version, state, digest, metrics, causes
        case trainingSet = "training_set"
        case codeCommit = "code_commit"
        case startedAt = "started_at"
        case endedAt = "ended_at"
    }

    /// What is not known is null: programs may rely on every field being there.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encode(model, forKey: .model)
        try container.encode(version, forKey: .version)
        try container.encode(state, forKey: .state)
        try container.encode(trainingSet, forKey: .trainingSet)
        try container.encode(digest, forKey: .digest)
        try container.encode(metrics, forKey: .metrics)
        try container.encode(causes, forKey: .causes)
        try container.encode(codeCommit, forKey: .codeCommit)
        try container.encode(startedAt, forKey: .startedAt)
        try container.encode(endedAt, forKey: .endedAt)
    }
}

/// A metric's course over a run.
public struct MetricCurve: Codable, Sendable, Equatable {
    public let run: String
    public let metric: String
    public let steps: [Int]
    public let values: [Double]
}

/// A version of a model as lists show it.
public struct VersionRow: Codable, Sendable, Equatable {
    public let version: Int
    /// `trained`, `rejected`, `passed`, `candidate`, `champion`, `retired` or `rolled-back`.
    public let state: String
    public let run: String?
    public let digest: String
    public let trainingSet: String?
    public let actor: String
    public let createdAt: Date

    private enum CodingKeys: String, CodingKey {
        case version, state, run, digest, actor
        case trainingSet = "training_set"
        case createdAt = "created_at"
    }

    /// What is not known is null: programs may rely on every field being there.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(version, forKey: .version)
        try container.encode(state, forKey: .state)
        try container.encode(run, forKey: .run)
        try container.encode(digest, forKey: .digest)
        try container.encode(trainingSet, forKey: .trainingSet)
        try container.encode(actor, forKey: .actor)
        try container.encode(createdAt, forKey: .createdAt)
    }
}

/// A model and its versions, the oldest first.
public struct ModelRow: Codable, Sendable, Equatable {
    public let name: String
    /// The version that answers everyone outside a canary; nil before the first.
    public let champion: Int?
    public let versions: [VersionRow]

    private enum CodingKeys: String, CodingKey { case name, champion, versions }

    /// What is not known is null: programs may rely on every field being there.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(champion, forKey: .champion)
        try container.encode(versions, forKey: .versions)
    }
}

/// A rollout as lists show it.
public struct RolloutRow: Codable, Sendable, Equatable {
    public let id: Int
    public let model: String
    public let version: Int
    public let baseline: Int?
    /// `waiting`, `running`, `held`, `completed`, `rolled-back` or `superseded`.
    public let state: String
    /// The share of traffic, 0 to 1.
    public let weight: Double
    /// What the evidence last said.
    public let verdict: String
    public let reason: String
    public let step: Int
    public let actor: String
    public let createdAt: Date
    public let stepStartedAt: Date?
    public let endedAt: Date?
    public let rootID: String

    private enum CodingKeys: String, CodingKey {
        case id, model, version, baseline, state, weight, verdict, reason, step, actor
        case createdAt = "created_at"
        case stepStartedAt = "step_started_at"
        case endedAt = "ended_at"
        case rootID = "root_id"
    }

    /// What is not known is null: programs may rely on every field being there.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encode(model, forKey: .model)
        try container.encode(version, forKey: .version)
        try container.encode(baseline, forKey: .baseline)
        try container.encode(state, forKey: .state)
        try container.encode(weight, forKey: .weight)
        try container.encode(verdict, forKey: .verdict)
        try container.encode(reason, forKey: .reason)
        try container.encode(step, forKey: .step)
        try container.encode(actor, forKey: .actor)
        try container.encode(createdAt, forKey: .createdAt)
        try container.encode(stepStartedAt, forKey: .stepStartedAt)
        try container.encode(endedAt, forKey: .endedAt)
        try container.encode(rootID, forKey: .rootID)
    }
}

/// One column of one closed window, against the reference of the version that answered.
public struct DriftRow: Codable, Sendable, Equatable {
    public let model: String
    public let version: Int
    public let windowFrom: Date
    public let windowTo: Date
    public let rows: Int
    public let column: String
    public let method: String
    public let statistic: Double
    public let threshold: Double
    /// Whether the monitor judged it so: the statistic is beyond its threshold, for what is a chance below it.
    public let isDrifted: Bool

    private enum CodingKeys: String, CodingKey {
        case model, version, rows, column, method, statistic, threshold
        case windowFrom = "window_from"
        case windowTo = "window_to"
        case isDrifted = "is_drifted"
    }
}

/// An alert as lists show it.
public struct AlertRow: Codable, Sendable, Equatable {
    public let id: Int
    public let model: String
    public let version: Int
    public let kind: String
    /// `firing` or `resolved`.
    public let state: String
    public let openedAt: Date
    public let resolvedAt: Date?

    private enum CodingKeys: String, CodingKey {
        case id, model, version, kind, state
        case openedAt = "opened_at"
        case resolvedAt = "resolved_at"
    }
}
