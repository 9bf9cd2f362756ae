import CLibPQ

/// Writes rows in COPY's binary form, each value in its column's own type.
struct CopyEncoder {
    private let table: String
    private let columns: [String]
    private let types: [UInt32]

    /// Pieces of about this size are handed to libpq.
    private static let pieceBytes = 256 << 10

    init(table: String, columns: [String], shape: ResultSet) {
        self.table = table
        self.columns = columns
        types = (0..<PQnfields(shape.raw)).map { PQftype(shape.raw, $0) }
    }

    func encode(_ rows: some Sequence<[PostgresValue]>) throws -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var piece: [UInt8] = []
        piece.reserveCapacity(Self.pieceBytes + 4_096)
        for row in rows {
            guard row.count == columns.count else {
                throw PostgresError(
                    .encodingFailed, "copy into \(table): a row has \(row.count) values for \(columns.count) columns")
            }
            piece.append(bigEndian: Int16(columns.count))
            for (index, value) in row.enumerated() {
                try widened(value, index).writeWithLength(to: &piece)
            }
            if piece.count >= Self.pieceBytes {
                pieces.append(piece)
                piece.removeAll(keepingCapacity: true)
            }
        }
        if !piece.isEmpty { pieces.append(piece) }
        return pieces
    }

    /// `value` in the type of column `index`: binary COPY converts nothing.
    private func widened(_ value: PostgresValue, _ index: Int) throws -> PostgresValue {
        let type = types[index]
        if value.isNull || value.type.oid == type { return value }
        switch (value, type) {
        case (.invalid(let reason), _): throw PostgresError(.encodingFailed, "column `\(columns[index])`: \(reason)")
        case (.int4(let number), 20): return .int8(Int64(number))
        case (.int8(let number), 23):
            if let narrow = Int32(exactly: number) { return .int4(narrow) }
        case (.int4(let number), 701): return .float8(Double(number))
        case (.int8(let number), 701): return .float8(Double(number))
        case (.text, 1043), (.text, 1042), (.text, 19): return value
        case (.text(let text), 3802): return .jsonb([UInt8](text.utf8))
        default: break
        }
        throw PostgresError(
            .encodingFailed,
            "column `\(columns[index])` of \(table): a \(value.type.name) cannot be copied into type OID \(type)")
    }
}
