import Foundation

/// A statement and its values, written as one interpolated string.
///
/// Every `\(value)` becomes a bind: SQL text never comes from a value. `\(json: value)` binds a JSON document, and
/// `\(jsonText: text)` one that is encoded already. There is no way to interpolate a name.
///
///     try await transaction.update("update naura.run set state = 'done' where id = \(id) and state = 'running'")
///
/// Each bind has its type stated: `String` is `text`, `Int` is `int8`, `Date` is `timestamptz`, and so on. Where the
/// column is of another kind that PostgreSQL does not assign from it, cast in SQL: `\(day)::date`.
public struct Query: ExpressibleByStringInterpolation, Sendable, CustomStringConvertible {
    /// The literals around the values, or the whole text. Put together only where it is needed: most rows of an insert
    /// are told to belong together by their literals, which are the same bytes in memory.
    private let pieces: [String]
    /// The values in order.
    public let binds: [PostgresValue]
    /// About how many bytes the statement takes on the wire.
    let size: Int

    public init(stringLiteral value: String) {
        self.init(sql: value, binds: [])
    }

    public init(stringInterpolation: StringInterpolation) {
        self.init(pieces: stringInterpolation.pieces, binds: stringInterpolation.binds)
    }

    init(sql: String, binds: [PostgresValue]) {
        self.init(pieces: [sql], binds: binds)
    }

    private init(pieces: [String], binds: [PostgresValue]) {
        self.pieces = pieces
        self.binds = binds
        size = binds.reduce(pieces.reduce(0) { $0 + $1.utf8.count }) { $0 + $1.size }
    }

    /// The text, with `$1`, `$2`, … where values stood.
    public var sql: String {
        var text = pieces[0]
        for (number, piece) in pieces.enumerated().dropFirst() { text += "$\(number)\(piece)" }
        return text
    }

    public var description: String { sql }

    /// Whether `other` has the same text.
    func hasText(of other: Query) -> Bool { pieces == other.pieces }

    /// Throws when a value could not be encoded.
    func check() throws {
        for case .invalid(let reason) in binds {
            throw PostgresError(.encodingFailed, reason, statement: sql)
        }
    }

    /// Collects text and binds.
    public struct StringInterpolation: StringInterpolationProtocol {
        private(set) var pieces: [String] = []
        private(set) var binds: [PostgresValue] = []

        public init(literalCapacity: Int, interpolationCount: Int) {
            pieces.reserveCapacity(interpolationCount + 1)
            binds.reserveCapacity(interpolationCount)
            pieces.append("")
        }

        public mutating func appendLiteral(_ literal: String) {
            // One that stands alone is kept as it is: joining would copy it.
            if pieces[binds.count].isEmpty { pieces[binds.count] = literal } else { pieces[binds.count] += literal }
        }

        /// Binds `value`.
        public mutating func appendInterpolation(_ value: some PostgresEncodable) { bind(value.postgresValue) }

        /// Binds `value`, or null.
        public mutating func appendInterpolation<T: PostgresEncodable>(_ value: T?) {
            bind(value?.postgresValue ?? .null(T.postgresType))
        }

        /// Binds the raw value of an id or an enumeration.
        public mutating func appendInterpolation<T: RawRepresentable>(_ value: T) where T.RawValue: PostgresEncodable {
            bind(value.rawValue.postgresValue)
        }

        /// Binds the raw value of an id or an enumeration, or null.
        public mutating func appendInterpolation<T: RawRepresentable>(_ value: T?) where T.RawValue: PostgresEncodable {
            bind(value?.rawValue.postgresValue ?? .null(T.RawValue.postgresType))
        }

        /// Binds the raw values of ids or enumerations as an array.
        public mutating func appendInterpolation<T: RawRepresentable>(_ values: [T])
        where T.RawValue: PostgresArrayElement {
            bind(T.RawValue.postgresArray(values.map(\.rawValue)))
        }

        /// Binds a value that is a ``PostgresValue`` already.
        public mutating func appendInterpolation(value: PostgresValue) { bind(value) }

        /// Binds `value` as a `jsonb` document: keys sorted, times as RFC 3339 with microseconds.
        public mutating func appendInterpolation(json value: some Encodable) {
            do {
                bind(.jsonb([UInt8](try PostgresJSON.encode(value))))
            } catch {
                bind(.invalid("cannot be encoded as JSON: \(error)"))
            }
        }

        /// Binds an optional value as a `jsonb` document; nil is an SQL null.
        public mutating func appendInterpolation<T: Encodable>(json value: T?) {
            guard let value else { return bind(.null(.scalar(.jsonb))) }
            appendInterpolation(json: value)
        }

        /// Binds the text of a JSON document as `jsonb`.
        public mutating func appendInterpolation(jsonText text: String?) {
            bind(text.map { .jsonb([UInt8]($0.utf8)) } ?? .null(.scalar(.jsonb)))
        }

        private mutating func bind(_ value: PostgresValue) {
            binds.append(value)
            pieces.append("")
        }
    }
}
