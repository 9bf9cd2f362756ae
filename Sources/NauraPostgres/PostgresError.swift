/// What went wrong between Naura and PostgreSQL.
public struct PostgresError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure; a struct, so that a new kind breaks nobody.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }

        /// No connection could be opened.
        public static let cannotConnect = Code(rawValue: "cannot-connect")
        /// The connection ended while a statement was under way; whether a commit took place is not known.
        public static let connectionLost = Code(rawValue: "connection-lost")
        /// The database's address cannot be read.
        public static let addressInvalid = Code(rawValue: "address-invalid")
        /// The server refused a statement; ``PostgresError/sqlState`` says why.
        public static let statementFailed = Code(rawValue: "statement-failed")
        /// A transaction was used after its end.
        public static let transactionEnded = Code(rawValue: "transaction-ended")
        /// A statement had failed before and the failure was caught, so the commit became a rollback.
        public static let transactionAborted = Code(rawValue: "transaction-aborted")
        /// A value could not be turned into what its column holds.
        public static let encodingFailed = Code(rawValue: "encoding-failed")
        /// A column's value is not of the type asked for, or the row has no such column.
        public static let decodingFailed = Code(rawValue: "decoding-failed")
        /// ``Database/close()`` was called.
        public static let databaseClosed = Code(rawValue: "database-closed")
        /// A migration that was applied has other text now, is gone, or one was put in front of it.
        public static let migrationChanged = Code(rawValue: "migration-changed")
        /// A private cluster could not be made, started or stopped.
        public static let clusterFailed = Code(rawValue: "cluster-failed")
    }

    /// The kind of failure.
    public let code: Code
    /// The server's five-character SQLSTATE; nil when the failure is not the server's.
    public let sqlState: String?
    /// What happened, with the values at fault.
    public let message: String
    /// The statement at fault, with `$n` where its values stood.
    public let statement: String?
    /// Whether the same call may succeed later without anybody's doing: the connection or the server was lost, or two
    /// transactions stood in each other's way.
    public let isTransient: Bool

    public init(
        _ code: Code, _ message: String, sqlState: String? = nil, statement: String? = nil, isTransient: Bool? = nil
    ) {
        self.code = code
        self.message = message
        self.sqlState = sqlState
        self.statement = statement
        self.isTransient =
            isTransient ?? (code == .connectionLost || sqlState.map(Self.isTransient(sqlState:)) ?? false)
    }

    public var description: String {
        var text = "\(code): \(message)"
        if let sqlState { text += " (SQLSTATE \(sqlState))" }
        if let statement { text += " in: \(statement)" }
        return text
    }

    /// Whether `sqlState` names a passing condition.
    ///
    /// Source: appendix A of PostgreSQL's manual. Class 08 connection, 40 rollback, 53 resources, 57P01–57P05 shutdown
    /// and idle timeouts, 57014 cancelled from outside, 55P03 lock timeout, 25P03 idle-in-transaction timeout, 58 the
    /// server's own system errors.
    static func isTransient(sqlState: String) -> Bool {
        switch sqlState {
        case "55P03", "25P03", "57014", "57P01", "57P02", "57P03", "57P05": true
        case "40002": false  // an integrity constraint, checked at commit
        default: ["08", "40", "53", "58"].contains(sqlState.prefix(2))
        }
    }

    /// The same failure with the statement it belongs to.
    func of(_ statement: String) -> PostgresError {
        PostgresError(code, message, sqlState: sqlState, statement: statement, isTransient: isTransient)
    }
}
