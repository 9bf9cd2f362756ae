// Whether two databases hold the same rows, without moving them.

/// A table, or the part of it that two databases are compared by.
public struct ComparedTable: Sendable {
    /// With its schema.
    public let name: String
    /// What of it is compared, for people; empty for all rows.
    public let scope: String
    /// What is not compared, and why; empty when nothing is left out.
    public let without: String
    private let rows: StaticString
    private let rowsInCopy: StaticString

    /// - Parameters:
    ///   - rows: a statement that yields the rows to compare. A literal: nothing from outside gets into it.
    ///   - rowsInCopy: another one for the copy, where the same rows have to be asked for otherwise.
    public init(
        _ name: String, _ scope: String = "", rows: StaticString, rowsInCopy: StaticString? = nil, without: String = ""
    ) {
        self.name = name
        self.scope = scope
        self.rows = rows
        self.rowsInCopy = rowsInCopy ?? rows
        self.without = without
    }

    /// Counts and hashes the rows. Their order does not matter; a row that is there twice does.
    ///
    /// Two sums of 60 bits of each row's MD5, as text with sorted names: no proof against someone who forges rows,
    /// and the same in every version of PostgreSQL.
    public func digest(in transaction: Transaction, isCopy: Bool = false) async throws -> TableDigest {
        let text = """
            select count(*)::bigint as rows,
                coalesce(sum(('x' || substr(hash, 1, 15))::bit(60)::bigint), 0)::text as low,
                coalesce(sum(('x' || substr(hash, 17, 15))::bit(60)::bigint), 0)::text as high
            from (select md5(row_to_json(compared)::text) as hash from (\(isCopy ? rowsInCopy : rows)) compared) hashed
            """
        guard let row = try await transaction.first(Query(stringLiteral: text)) else {
            throw PostgresError(.decodingFailed, "\(name) has no digest")
        }
        return TableDigest(
            rows: try row.get("rows"),
            hash: "\(try row.get("high", as: String.self)):\(try row.get("low", as: String.self))")
    }
}

/// What a table's rows were, in short.
public struct TableDigest: Codable, Sendable, Equatable {
    public let rows: Int
    public let hash: String
}
