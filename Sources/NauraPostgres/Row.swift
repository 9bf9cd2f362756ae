import CLibPQ
import Foundation

/// The answer to one statement: its rows and the number of rows it changed.
///
/// `@unchecked Sendable`: libpq never changes a `PGresult` after `PQgetResult` returned it, and it is freed once, here.
final class ResultSet: @unchecked Sendable {
    let raw: OpaquePointer
    let rowCount: Int
    /// Positions of the columns by name; of two equal names the first.
    let columns: [String: Int]

    init(_ raw: OpaquePointer) {
        self.raw = raw
        rowCount = Int(PQntuples(raw))
        var columns: [String: Int] = [:]
        for index in 0..<PQnfields(raw) {
            guard let name = PQfname(raw, index) else { continue }
            columns[String(cString: name)] = columns[String(cString: name)] ?? Int(index)
        }
        self.columns = columns
    }

    deinit { PQclear(raw) }

    /// Rows that the statement inserted, changed, deleted or returned.
    var changedCount: Int { Int(String(cString: PQcmdTuples(raw))) ?? 0 }

    /// What the statement was, such as `COMMIT` or `INSERT 0 3`.
    var tag: String { String(cString: PQcmdStatus(raw)) }

    var rows: [Row] { (0..<rowCount).map { Row(result: self, index: $0) } }
}

/// One row of an answer.
public struct Row: Sendable {
    let result: ResultSet
    let index: Int

    /// The names of the columns, in no particular order.
    public var columnNames: [String] { Array(result.columns.keys) }

    /// The value of the column `name`.
    ///
    /// - Throws: ``PostgresError`` with `decodingFailed` when there is no such column, or its value is not a `T`; a
    ///   null is one only where `T` is optional.
    public func get<T: PostgresDecodable>(_ name: String, as type: T.Type = T.self) throws -> T {
        try withCell(name) { cell in
            do { return try T.decode(cell) } catch let fault as CellFault {
                throw PostgresError(.decodingFailed, "column `\(name)`: expected \(T.self), found \(fault.found)")
            }
        }
    }

    /// The value of the column `name` as an id or an enumeration.
    public func get<T: RawRepresentable>(_ name: String, as type: T.Type = T.self) throws -> T
    where T.RawValue: PostgresDecodable {
        let raw = try get(name, as: T.RawValue.self)
        guard let value = T(rawValue: raw) else {
            throw PostgresError(.decodingFailed, "column `\(name)`: \(raw) is no \(T.self)")
        }
        return value
    }

    /// The value of the column `name` as an id or an enumeration, or nil for a null.
    public func get<T: RawRepresentable>(_ name: String, as type: T?.Type = T?.self) throws -> T?
    where T.RawValue: PostgresDecodable {
        guard try !isNull(name) else { return nil }
        return try get(name, as: T.self)
    }

    /// The JSON document in the column `name`, decoded.
    ///
    /// - Throws: ``PostgresError`` with `decodingFailed` that names the field at fault.
    public func json<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
        let text = try get(name, as: String.self)
        do { return try PostgresJSON.decode(T.self, from: Data(text.utf8)) } catch {
            throw PostgresError(.decodingFailed, "column `\(name)`: no \(T.self): \(error)")
        }
    }

    /// The JSON document in the column `name`, decoded, or nil for a null.
    public func jsonIfPresent<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T? {
        try isNull(name) ? nil : json(name, as: T.self)
    }

    /// Whether the column `name` is null in this row.
    public func isNull(_ name: String) throws -> Bool { try withCell(name) { $0.bytes == nil } }

    private func withCell<R>(_ name: String, _ body: (Cell) throws -> R) throws -> R {
        guard let column = result.columns[name] else {
            throw PostgresError(.decodingFailed, "the answer has no column `\(name)`")
        }
        return try withExtendedLifetime(result) {
            let type = PQftype(result.raw, Int32(column))
            guard PQgetisnull(result.raw, Int32(index), Int32(column)) == 0 else {
                return try body(Cell(type: type, bytes: nil))
            }
            let length = Int(PQgetlength(result.raw, Int32(index), Int32(column)))
            let start = PQgetvalue(result.raw, Int32(index), Int32(column))
            return try body(Cell(type: type, bytes: UnsafeRawBufferPointer(start: start, count: length)))
        }
    }
}

/// One value of an answer in binary form; valid only while its row is being decoded.
public struct Cell {
    /// The OID of the column's type.
    let type: UInt32
    /// The bytes; nil for a null.
    let bytes: UnsafeRawBufferPointer?
}

/// Says what a cell held instead of what was asked for; ``Row`` adds the column's name.
struct CellFault: Error { let found: String }
