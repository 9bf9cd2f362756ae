/// Why the tables refuse what they were asked for.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of fault; a struct, so that a new one breaks nobody.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String

        /// A code with the given name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// A name belongs to another project.
        public static let nameTaken = Code(rawValue: "name-taken")
        /// A row that must be there is not.
        public static let missing = Code(rawValue: "missing")

        public var description: String { rawValue }
    }

    /// The kind of fault.
    public let code: Code
    /// What was asked for, and why it is refused.
    public let message: String
    /// Always false: the same request fails the same way.
    public var isTransient: Bool { false }

    /// A fault with the values that caused it in `message`.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code): \(message)" }
}
