/// Why a model, a package or a row of inputs is refused.
///
/// Nothing here is transient: the same bytes or the same row are refused again. What a person or a client sees is
/// `message`; `column` names the input concerned, where there is one.
public struct ModelFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of refusal; stable words for logs, HTTP bodies and dead letters.
    public enum Code: String, Sendable {
        /// A file is not what its place in the package asks for.
        case malformed
        /// The bytes are not those that the digest names.
        case digestMismatch = "digest-mismatch"
        /// The package answers its own sample rows otherwise than its trainer did.
        case samplesDiffer = "samples-differ"
        /// A kind of model, objective or file that this runtime cannot answer exactly.
        case unsupported
        /// An input that the signature names is not in the row.
        case missingColumn = "missing-column"
        /// The row holds an input that the signature does not name.
        case unknownColumn = "unknown-column"
        /// A number where the signature says text, or the reverse.
        case wrongType = "wrong-type"
        /// The model's answer is not a finite number.
        case notANumber = "not-a-number"
        /// The rows given cannot train a model.
        case untrainable
        /// A file could not be read or written.
        case unreadable
        /// The library reported a failure.
        case library
    }

    /// The kind of refusal.
    public let code: Code
    /// One sentence: what was found, and what was expected.
    public let message: String
    /// The input concerned.
    public let column: String?
    /// Always false: a refused model stays refused.
    public var isTransient: Bool { false }

    /// Makes a refusal with one sentence for the person who meets it.
    public init(_ code: Code, _ message: String, column: String? = nil) {
        self.code = code
        self.message = message
        self.column = column
    }

    /// The code and the sentence.
    public var description: String { "\(code.rawValue): \(message)" }
}
