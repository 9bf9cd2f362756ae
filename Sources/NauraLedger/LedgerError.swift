// The one error type of the ledger.

import NauraPostgres

/// Why the ledger refused a write.
public struct LedgerError: Error, CustomStringConvertible {
    /// What kind of refusal; new ones may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        /// Another owner has taken the stream: everything this one writes is refused.
        public static let streamLost = Code(description: "stream-lost")
        /// Another runner has taken the job: it is settled there, or nowhere.
        public static let leaseLost = Code(description: "lease-lost")
        /// The outbox names a stream that does not exist.
        public static let unknownStream = Code(description: "unknown-stream")
        /// A lease was used after its job had been settled or given back.
        public static let leaseEnded = Code(description: "lease-ended")
        /// No dead letter has this number.
        public static let unknownLetter = Code(description: "unknown-letter")
        /// The dead letter cannot be tried again; the message says what to do instead.
        public static let notRedrivable = Code(description: "not-redrivable")
        /// The dead letter is not open, so nothing is to be dropped.
        public static let notDroppable = Code(description: "not-droppable")
        /// A newer program has changed the tables in a way that this one cannot work with.
        public static let tablesTooNew = Code(description: "tables-too-new")
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code): \(message)" }

    /// The refusal that `error` stands for when one of the ledger's own functions raised it, else nil.
    public static func refusal(in error: any Error) -> LedgerError? {
        if let own = error as? LedgerError { return own }
        guard let postgres = error as? PostgresError else { return nil }
        switch postgres.sqlState {
        case "NA001": return LedgerError(.streamLost, postgres.message)
        case "NA002": return LedgerError(.leaseLost, postgres.message)
        default: return nil
        }
    }
}
