import Foundation

/// One input of a model, as an application sent it or the feature store held it.
public enum FeatureValue: Codable, Sendable, Equatable {
    case null
    case number(Double)
    case text(String)

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
            return
        }
        do {
            self = .number(try container.decode(Double.self))
        } catch DecodingError.typeMismatch {
            self = .text(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        // JSON has no word for what is not finite; such an input counts as missing everywhere in Naura.
        case .number(let value): if value.isFinite { try container.encode(value) } else { try container.encodeNil() }
        case .text(let value): try container.encode(value)
        }
    }
}

/// Answers that a gateway gave.
public struct Predictions: EventPayload, Equatable {
    public static let type: EventType = "predictions"

    /// One answer.
    public struct Item: Codable, Sendable, Equatable {
        public let predictionID: String
        /// What sticks to an arm, such as a customer; nil when the request named none.
        public let unit: String?
        public let version: Int
        public let arm: Arm
        public let features: [String: FeatureValue]
        /// The model's output; nil when it answered an error.
        public let score: Double?
        public let at: Date

        public init(
            predictionID: String, unit: String? = nil, version: Int, arm: Arm, features: [String: FeatureValue],
            score: Double?, at: Date
        ) {
            self.predictionID = predictionID
            self.unit = unit
            self.version = version
            self.arm = arm
            self.features = features
            self.score = score
            self.at = at
        }

        private enum CodingKeys: String, CodingKey {
            case unit, version, arm, features, score, at
            case predictionID = "prediction_id"
        }
    }

    public let model: ModelID
    public let items: [Item]

    public init(model: ModelID, items: [Item]) {
        self.model = model
        self.items = items
    }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool {
        Check.name(model) && items.allSatisfy { !$0.predictionID.isEmpty && $0.version >= 1 }
    }
}

/// What turned out to be true for predictions made earlier.
///
/// JSON holds either `items`, or one item's fields beside `model`.
public struct GroundTruth: EventPayload, Equatable {
    public static let type: EventType = "ground-truth"

    /// One outcome: of a prediction by its id, or of what a unit was told at a moment.
    public struct Item: Codable, Sendable, Equatable {
        public let predictionID: String?
        public let unit: String?
        public let at: Date?
        /// The label as text; JSON may give it as number or boolean.
        public let label: String
        /// When it became known.
        public let observedAt: Date

        public init(
            predictionID: String? = nil, unit: String? = nil, at: Date? = nil, label: String, observedAt: Date
        ) {
            self.predictionID = predictionID
            self.unit = unit
            self.at = at
            self.label = label
            self.observedAt = observedAt
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            predictionID = try container.decodeIfPresent(String.self, forKey: .predictionID)
            unit = try container.decodeIfPresent(String.self, forKey: .unit)
            at = try container.decodeIfPresent(Date.self, forKey: .at)
            observedAt = try container.decode(Date.self, forKey: .observedAt)
            switch try container.decode(JSONValue.self, forKey: .label) {
            case .string(let text): label = text
            case .integer(let number): label = String(number)
            case .number(let number): label = String(number)
            case .bool(let flag): label = String(flag)
            default:
                throw DecodingError.dataCorruptedError(
                    forKey: .label, in: container, debugDescription: "neither text nor number nor boolean")
            }
        }

        private enum CodingKeys: String, CodingKey {
            case unit, at, label
            case predictionID = "prediction_id"
            case observedAt = "observed_at"
        }

        var isWellFormed: Bool {
            predictionID.map { !$0.isEmpty } ?? (unit.map { !$0.isEmpty } ?? false && at != nil)
        }
    }

    public let model: ModelID
    public let items: [Item]

    public init(model: ModelID, items: [Item]) {
        self.model = model
        self.items = items
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        model = try container.decode(ModelID.self, forKey: .model)
        items = try container.decodeIfPresent([Item].self, forKey: .items) ?? [Item(from: decoder)]
    }

    private enum CodingKeys: String, CodingKey { case model, items }

    public var subject: String { model.rawValue }
    public var isWellFormed: Bool { Check.name(model) && items.allSatisfy(\.isWellFormed) }
}
