/// Why something handed to a rule makes no sense: a faulty expression, a cron line, a sample that cannot be judged.
///
/// Never transient: the same input fails the same way.
public struct RulesError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of fault it is. A struct, so that a new kind breaks nobody's switch.
    public struct Code: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }

        /// A feature's expression cannot be read or does not fit its columns.
        public static let expression = Code(rawValue: "expression")
        /// A cron line or its time zone cannot be read.
        public static let cron = Code(rawValue: "cron")
        /// A statistic has no value for these samples.
        public static let cannotJudge = Code(rawValue: "cannot-judge")
        /// Two inputs that must have the same shape do not.
        public static let shapeMismatch = Code(rawValue: "shape-mismatch")
    }

    /// The kind of fault.
    public let code: Code
    /// What was found and what was expected, with the values at fault.
    public let message: String
    /// Where in the text the fault starts, counted in characters from 1; nil where there is no text.
    public let position: Int?
    /// Always false: no retry can help.
    public var isTransient: Bool { false }

    /// A fault of kind `code`, optionally at the character `position` (from 1) of a text.
    public init(_ code: Code, _ message: String, position: Int? = nil) {
        self.code = code
        self.message = message
        self.position = position
    }

    /// The position, where there is one, and the message.
    public var description: String {
        position.map { "column \($0): \(message)" } ?? message
    }
}
