import NauraPostgres

/// Why a command could not do what it was told to.
///
/// Printed whole by the command line, which then ends with exit code 1.
struct CommandError: Error, CustomStringConvertible {
    /// What kind of fault it is; new ones break nobody.
    struct Code: Hashable, Sendable, CustomStringConvertible {
        let description: String

        /// No `.naura/` on the way up from here, and no `NAURA_DATABASE_URL` in the environment.
        static let noState = Code(description: "no-state")
        /// Another `naura up` runs on this state folder.
        static let alreadyUp = Code(description: "already-up")
        /// A file of the state folder cannot be read, or says something impossible.
        static let brokenState = Code(description: "broken-state")
        /// A program could not be started, or died before it was ready.
        static let process = Code(description: "process")
        /// An argument that the parser accepts means nothing here.
        static let badArgument = Code(description: "bad-argument")
        /// What the command was about does not exist.
        static let notFound = Code(description: "not-found")
        /// A server answered with something else than what was asked for.
        static let badAnswer = Code(description: "bad-answer")
        /// What was asked for cannot be done any more.
        static let refused = Code(description: "refused")
        /// A step of the story was not seen to happen.
        static let notSeen = Code(description: "not-seen")
    }

    let code: Code
    let message: String
    let cause: (any Error)?

    init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// Whether the same command may succeed a moment later with nothing changed by hand.
    var isTransient: Bool { (cause as? PostgresError)?.isTransient ?? false }

    var description: String { cause.map { "\(message): \($0)" } ?? message }
}
