/// What an event says beyond its envelope: the JSON body of one topic.
///
/// Within a version only optional fields are added. The fields are described by `schemas/<type>.v<version>.json`; a
/// test decodes the sample beside it and encodes it back.
public protocol EventPayload: Codable, Sendable {
    /// The event's type, which is also its topic.
    static var type: EventType { get }
    /// The version of the schema that this Swift type speaks.
    static var version: Int { get }
    /// The Kafka key: the dataset, model or repository that the event is about.
    var subject: String { get }
    /// Whether values obey what the Swift types alone do not say (ranges, patterns, formats); cheap, for every event is
    /// asked. When false, the schema is consulted to name the field.
    var isWellFormed: Bool { get }
}

extension EventPayload {
    public static var version: Int { 1 }
    public var isWellFormed: Bool { true }
}
