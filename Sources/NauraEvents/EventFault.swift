/// Why bytes are not a valid event. No repetition can help: the record becomes a dead letter with this message.
public struct EventFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of fault, as it stands in dead letters.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }

        /// The body, or a structured event, is not JSON.
        public static let notJSON = Code(rawValue: "not-json")
        /// An attribute that CloudEvents demands is missing or malformed.
        public static let notAnEvent = Code(rawValue: "not-an-event")
        /// The type is none of Naura's, or not the type of the topic.
        public static let unknownType = Code(rawValue: "unknown-type")
        /// A field is missing, has the wrong type, or a value outside its range.
        public static let schemaViolation = Code(rawValue: "schema-violation")
        /// Older than the days that the inbox still remembers.
        public static let tooOld = Code(rawValue: "too-old")
        /// More than a day ahead of the record's time.
        public static let tooFarAhead = Code(rawValue: "too-far-ahead")
    }

    public let code: Code
    /// A sentence that names the attribute or field and says what was found.
    public let message: String
    /// Always false: the same bytes fail again.
    public var isTransient: Bool { false }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code): \(message)" }
}
