import Foundation

/// A record or a job that failed for good, with the reason; the whole record stays in the ledger's table.
public struct DeadLetter: EventPayload, Equatable {
    public static let type: EventType = "dead-letter"

    /// The stage, or the kind of job, that gave up.
    public let stage: StageName
    /// Where the record stands; nil for a job.
    public let topic: String?
    public let partition: Int32?
    public let offset: Int64?
    /// The event's id, as far as it could be read.
    public let eventID: EventID?
    /// The original Kafka key, or the job's key.
    public let key: String?
    public let code: String
    public let message: String
    public let tries: Int
    /// The original record's headers, and its body in base 64 when it is small enough to repeat.
    public let headers: [String: String]?
    public let body: String?

    public init(
        stage: StageName, topic: String?, partition: Int32? = nil, offset: Int64? = nil, eventID: EventID? = nil,
        key: String? = nil, code: String, message: String, tries: Int, headers: [String: String]? = nil,
        body: String? = nil
    ) {
        self.stage = stage
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.eventID = eventID
        self.key = key
        self.code = code
        self.message = message
        self.tries = tries
        self.headers = headers
        self.body = body
    }

    private enum CodingKeys: String, CodingKey {
        case stage, topic, partition, offset, key, code, message, tries, headers, body
        case eventID = "event_id"
    }

    /// The original key; the stage when there was none.
    public var subject: String { key.flatMap { $0.isEmpty ? nil : $0 } ?? stage.rawValue }
    public var isWellFormed: Bool {
        Check.name(stage) && (partition ?? 0) >= 0 && (offset ?? 0) >= 0 && !code.isEmpty && tries >= 0
    }
}
