/// Reads comma-separated values as RFC 4180 has them, a record at a time, with flat memory.
///
/// Fields may be quoted and then hold commas, line ends and doubled quotes. Lines end by LF, CR LF or CR. A byte order
/// mark is stepped over. Column names are trimmed; the n-th column, if it has none, is called `unnamed-n`. Lines without
/// any character are skipped where there is more than one column. A last line needs no line end, but all its fields.
public final class CSVReader: RecordReader {
    private static let comma = UInt8(ascii: ",")
    private static let quote = UInt8(ascii: "\"")
    private static let newline = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")

    public private(set) var columns: [String] = []
    private let source: ByteReader
    private var line = 1
    private var rows: Int64 = 0

    private enum RecordEnd {
        /// The file had ended before the record began.
        case noRecord
        case lineEnd
        case fileEnd
    }

    /// Opens the file at `path` and reads its column names.
    ///
    /// - Throws: ``DataFault``: `not-found`, `unreadable`, `empty`, `encoding`, `duplicate-column`, `cut-off`.
    public init(path: String) throws(DataFault) {
        source = try ByteReader(path: path)
        try source.takeByteOrderMark()
        var header = Record()
        repeat {
            guard try read(into: &header) != .noRecord else { throw DataFault(.empty, "the file holds no text") }
        } while header.bytes.isEmpty && header.count == 1
        try header.checkEncoding()
        columns = try Self.columnNames(header)
    }

    private static func columnNames(_ header: Record) throws(DataFault) -> [String] {
        var names: [String] = []
        var places: [String: Int] = [:]
        for index in 0..<header.count {
            let text = Cell.trimmed(header.text(index))
            let name = text.isEmpty ? "unnamed-\(index + 1)" : text
            if let first = places[name] {
                let message = "columns \(first + 1) and \(index + 1) are both called '\(name)'"
                throw DataFault(.duplicateColumn, message, line: header.line)
            }
            places[name] = index
            names.append(name)
        }
        return names
    }

    public func next(into record: inout Record) throws(DataFault) -> Bool {
        while true {
            let end = try read(into: &record)
            if end == .noRecord {
                if rows == 0 { throw DataFault(.headerOnly, "the file has column names and no rows", line: 1) }
                return false
            }
            if record.bytes.isEmpty, record.count == 1, columns.count > 1 {
                continue
            }
            try record.checkEncoding()
            guard record.count == columns.count else {
                let found = "\(record.count) field\(record.count == 1 ? "" : "s"), expected \(columns.count)"
                if end == .fileEnd, record.count < columns.count {
                    throw DataFault(.cutOff, "the file ends inside its last record: \(found)", line: record.line)
                }
                throw DataFault(.fieldCount, found, line: record.line)
            }
            rows += 1
            record.number = rows
            return true
        }
    }

    private func read(into record: inout Record) throws(DataFault) -> RecordEnd {
        record.clear(line: line)
        guard try source.hasByte() else { return .noRecord }
        while true {
            if readWithinBuffer(into: &record) { return .lineEnd }
            if try source.hasByte(), source.bytes[source.position] == Self.quote {
                source.position += 1
                try readQuoted(into: &record)
            } else {
                try readPlain(into: &record)
            }
            record.endField()
            guard try source.hasByte() else { return .fileEnd }
            let delimiter = source.bytes[source.position]
            source.position += 1
            if delimiter == Self.comma { continue }
            if delimiter == Self.carriageReturn, try source.hasByte(), source.bytes[source.position] == Self.newline {
                source.position += 1
            }
            line += 1
            return .lineEnd
        }
    }

    /// Takes plain fields that end inside the buffer; true at the end of the record. Otherwise the next field is quoted, or
    /// may go on in the next buffer.
    ///
    /// The usual case, with everything in local variables: three times faster than the general one alone.
    private func readWithinBuffer(into record: inout Record) -> Bool {
        let bytes = source.bytes
        let limit = source.limit
        var start = source.position
        defer { source.position = start }
        while start < limit, bytes[start] != Self.quote {
            var index = start
            while index < limit {
                let byte = bytes[index]
                // All three delimiters are at most a comma, and few other bytes of text are.
                if byte <= Self.comma, byte == Self.comma || byte == Self.newline || byte == Self.carriageReturn {
                    break
                }
                index += 1
            }
            // What follows a carriage return at the buffer's end is not known yet.
            guard index + 1 < limit else { return false }
            record.bytes.append(contentsOf: UnsafeBufferPointer(start: bytes + start, count: index - start))
            record.ends.append(record.bytes.count)
            let delimiter = bytes[index]
            start = index + 1
            if delimiter == Self.comma { continue }
            if delimiter == Self.carriageReturn, bytes[start] == Self.newline { start += 1 }
            line += 1
            return true
        }
        return false
    }

    /// Appends bytes up to the next comma, line end or end of the file.
    private func readPlain(into record: inout Record) throws(DataFault) {
        while try source.hasByte() {
            let bytes = source.bytes
            let limit = source.limit
            let start = source.position
            var index = start
            while index < limit {
                let byte = bytes[index]
                // All three delimiters are at most a comma, and few other bytes of text are.
                if byte <= Self.comma, byte == Self.comma || byte == Self.newline || byte == Self.carriageReturn {
                    break
                }
                index += 1
            }
            record.bytes.append(contentsOf: UnsafeBufferPointer(start: bytes + start, count: index - start))
            source.position = index
            if index < limit { return }
        }
    }

    /// Appends bytes up to the closing quote, which must be followed by a comma, a line end or the end of the file.
    private func readQuoted(into record: inout Record) throws(DataFault) {
        while try source.hasByte() {
            let bytes = source.bytes
            let limit = source.limit
            let start = source.position
            var index = start
            while index < limit, bytes[index] != Self.quote {
                if bytes[index] == Self.newline { line += 1 }
                index += 1
            }
            record.bytes.append(contentsOf: UnsafeBufferPointer(start: bytes + start, count: index - start))
            source.position = index
            guard index < limit else { continue }
            source.position += 1
            guard try source.hasByte() else { return }
            let following = source.bytes[source.position]
            if following == Self.quote {
                record.bytes.append(Self.quote)
                source.position += 1
            } else if following == Self.comma || following == Self.newline || following == Self.carriageReturn {
                return
            } else {
                throw DataFault(
                    .malformed, "text after a closing quote; a quote inside quotes is written twice", line: record.line)
            }
        }
        throw DataFault(.cutOff, "the file ends inside quotes that were opened in this record", line: record.line)
    }
}
