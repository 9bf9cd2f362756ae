import Foundation

/// A rollout has taken a step, stands still, or has ended.
public struct RolloutChanged: EventPayload, Equatable {
    public static let type: EventType = "rollout-changed"

    /// What happened to the rollout.
    public enum State: String, Codable, Sendable, CaseIterable {
        case started, advanced, held, resumed, completed, superseded
        case rolledBack = "rolled-back"
    }

    public let model: ModelID
    public let version: Int
    /// The champion that answers the rest; nil when there was no predecessor.
    public let baseline: Int?
    /// The rollout's id.
    public let rollout: Int64
    public let state: State
    /// The share of traffic that the version gets from now on, 0 to 1.
    public let weight: Double
    /// What the evidence said, in a word.
    public let verdict: String
    /// A sentence for people.
    public let reason: String

    public init(
        model: ModelID, version: Int, baseline: Int? = nil, rollout: Int64, state: State, weight: Double,
        verdict: String, reason: String
    ) {
        self.model = model
        self.version = version
        self.baseline = baseline
        self.rollout = rollout
        self.state = state
        self.weight = weight
        self.verdict = verdict
        self.reason = reason
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool {
        Check.name(model) && version >= 1 && (baseline ?? 1) >= 1 && rollout >= 0 && weight >= 0 && weight <= 1
    }
}

/// Which side of a canary answered.
public enum Arm: String, Codable, Sendable, CaseIterable {
    case canary, champion
}

/// What one gateway saw of one model in a fifth of a second, or since a bad canary answer made it speak at once.
public struct ServingWindow: EventPayload, Equatable {
    public static let type: EventType = "serving-window"

    /// In which way an answer was bad.
    public enum Metric: String, Codable, Sendable, CaseIterable {
        case error, slow
    }

    /// A unit's first bad answer in this step.
    public struct FirstBad: Codable, Sendable, Equatable {
        public let metric: Metric
        /// The unit's salted hash, in hex.
        public let unit: String
        public let at: Date

        public init(metric: Metric, unit: String, at: Date) {
            self.metric = metric
            self.unit = unit
            self.at = at
        }
    }

    /// One arm's part.
    public struct ArmWindow: Codable, Sendable, Equatable {
        public let arm: Arm
        public let requests: Int
        /// Salted hashes, in hex, of the units first seen in this step.
        public let newUnits: [String]
        public let firstBad: [FirstBad]

        public init(arm: Arm, requests: Int, newUnits: [String], firstBad: [FirstBad]) {
            self.arm = arm
            self.requests = requests
            self.newUnits = newUnits
            self.firstBad = firstBad
        }

        private enum CodingKeys: String, CodingKey {
            case arm, requests
            case newUnits = "new_units"
            case firstBad = "first_bad"
        }
    }

    public let model: ModelID
    public let gateway: String
    /// Names the gateway's process: a restart begins another one.
    public let boot: String
    /// Counts the windows of one boot and model, from 1, without gaps.
    public let number: Int64
    /// The route's epoch, and the canary weight, that these requests were split by.
    public let epoch: Int64
    public let weight: Double
    public let rollout: Int64?
    public let canaryVersion: Int?
    public let arms: [ArmWindow]
    /// The end of the window.
    public let at: Date

    public init(
        model: ModelID, gateway: String, boot: String, number: Int64, epoch: Int64, weight: Double,
        rollout: Int64? = nil, canaryVersion: Int? = nil, arms: [ArmWindow], at: Date
    ) {
        self.model = model
        self.gateway = gateway
        self.boot = boot
        self.number = number
        self.epoch = epoch
        self.weight = weight
        self.rollout = rollout
        self.canaryVersion = canaryVersion
        self.arms = arms
        self.at = at
    }

    private enum CodingKeys: String, CodingKey {
        case model, gateway, boot, number, epoch, weight, rollout, arms, at
        case canaryVersion = "canary_version"
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool {
        Check.name(model) && !gateway.isEmpty && !boot.isEmpty && number >= 0 && epoch >= 0 && weight >= 0
            && weight <= 1 && (canaryVersion ?? 1) >= 1
            && arms.allSatisfy { arm in
                arm.requests >= 0 && arm.newUnits.allSatisfy(Check.hex)
                    && arm.firstBad.allSatisfy { Check.hex($0.unit) }
            }
    }
}
