/// Why data, a file or an address could not be used.
///
/// `code` is also the name of the rule under which `data-rejected` reports it.
public struct DataFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of fault; a struct, so that a new one breaks nobody.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String

        /// A code with the given name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// Nothing lies at the address.
        public static let notFound = Code(rawValue: "not-found")
        /// Something lies there that cannot be read: no permission, a folder, a broken transfer.
        public static let unreadable = Code(rawValue: "unreadable")
        /// The address's scheme, or the file's format, is not one that Naura reads.
        public static let unsupported = Code(rawValue: "unsupported")
        /// The file has no bytes.
        public static let empty = Code(rawValue: "empty")
        /// The file has column names and no row.
        public static let headerOnly = Code(rawValue: "header-only")
        /// Two columns, or two keys of one object, bear the same name.
        public static let duplicateColumn = Code(rawValue: "duplicate-column")
        /// The bytes are not UTF-8 text.
        public static let encoding = Code(rawValue: "encoding")
        /// A record has more or fewer fields than there are columns.
        public static let fieldCount = Code(rawValue: "field-count")
        /// The file ends inside quotes or inside its last record, or holds fewer bytes than were announced.
        public static let cutOff = Code(rawValue: "cut-off")
        /// A record breaks the format's grammar.
        public static let malformed = Code(rawValue: "malformed")
        /// The bytes are not those that the event, or the artifact's name, announces.
        public static let checksum = Code(rawValue: "checksum")
        /// An artifact that is on record is not in the store.
        public static let artifactMissing = Code(rawValue: "artifact-missing")
        /// The disk refused to store bytes.
        public static let storage = Code(rawValue: "storage")
        /// A project or contract cannot be made from this file and these options.
        public static let unusable = Code(rawValue: "unusable")

        public var description: String { rawValue }
    }

    /// The kind of fault.
    public let code: Code
    /// What was found, with the values at fault, and what to do.
    public let message: String
    /// The line of the file, counted from 1, where the faulty record begins.
    public let line: Int?
    /// Whether the same request may succeed later without anybody changing the data.
    public let isTransient: Bool

    /// A fault with the values that caused it in `message`.
    public init(_ code: Code, _ message: String, line: Int? = nil, isTransient: Bool = false) {
        self.code = code
        self.message = message
        self.line = line
        self.isTransient = isTransient
    }

    public var description: String {
        guard let line else { return "\(code): \(message)" }
        return "\(code): line \(line): \(message)"
    }
}
