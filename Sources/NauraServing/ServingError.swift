/// What goes wrong in the gateway beside its answers: packages, the cache, the configuration.
public struct ServingError: Error, Sendable, CustomStringConvertible {
    /// The kinds of failure; a struct, so that a new one breaks nobody.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The gateway may not listen where it was told to.
        public static let listenRefused = Code(rawValue: "listen-refused")
        /// A package must not serve: its bytes, its samples or its kind.
        public static let packageRefused = Code(rawValue: "package-refused")
        /// A package's bytes are not to be had now.
        public static let packageMissing = Code(rawValue: "package-missing")
        /// The cache on disk cannot be read or written.
        public static let cache = Code(rawValue: "cache")
    }

    /// The kind.
    public let code: Code
    /// What was found, and what was expected.
    public let message: String
    /// What it came from.
    public let cause: (any Error)?
    /// Whether the same may succeed later.
    public let isTransient: Bool

    /// Makes a failure with one sentence for the person who reads it.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil, isTransient: Bool = false) {
        self.code = code
        self.message = message
        self.cause = cause
        self.isTransient = isTransient
    }

    /// The code, the sentence and the cause.
    public var description: String {
        "\(code.rawValue): \(message)" + (cause.map { " (\($0))" } ?? "")
    }
}
