/// One row of a data file: its fields as UTF-8 text, in the order of the file's columns.
///
/// One record is filled again and again, so that reading a file allocates nothing a row.
public struct Record {
    var bytes: [UInt8] = []
    var ends: [Int] = []
    /// The row's number among the data rows, from 1.
    public internal(set) var number: Int64 = 0
    /// The line of the file where the row begins, from 1.
    public internal(set) var line = 0

    /// An empty record, to be filled by a reader.
    public init() {
        bytes.reserveCapacity(4_096)
        ends.reserveCapacity(64)
    }

    /// The number of fields.
    public var count: Int { ends.count }

    /// The text of field `index`, as it stands in the file.
    public func text(_ index: Int) -> String {
        withFields { $0.text(index) }
    }

    /// Lends all fields as one view over the record's bytes.
    public func withFields<R, F: Error>(_ body: (RecordFields) throws(F) -> R) throws(F) -> R {
        let ends = ends
        return try bytes.withUnsafeBufferPointer { (bytes) throws(F) -> R in
            try ends.withUnsafeBufferPointer { (ends) throws(F) -> R in
                try body(RecordFields(bytes: bytes, ends: ends))
            }
        }
    }

    mutating func clear(line: Int) {
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        self.line = line
    }

    mutating func endField() { ends.append(bytes.count) }

    /// Refuses bytes that are no UTF-8 text, which also PostgreSQL would refuse.
    func checkEncoding() throws(DataFault) {
        let fault = bytes.withUnsafeBufferPointer { UTF8Check.fault(in: $0) }
        if let fault {
            throw DataFault(.encoding, "\(fault); Naura reads UTF-8 text", line: line)
        }
    }
}

/// A view over the fields of one ``Record``, valid only inside ``Record/withFields(_:)``.
public struct RecordFields {
    let bytes: UnsafeBufferPointer<UInt8>
    let ends: UnsafeBufferPointer<Int>

    /// The number of fields.
    public var count: Int { ends.count }

    /// The bytes of field `index`.
    @inline(__always)
    public subscript(index: Int) -> UnsafeBufferPointer<UInt8> {
        let start = index == 0 ? 0 : ends[index - 1]
        return UnsafeBufferPointer(rebasing: bytes[start..<ends[index]])
    }

    /// The text of field `index`.
    public func text(_ index: Int) -> String { String(decoding: self[index], as: UTF8.self) }
}

/// Reads a data file row by row with flat memory.
public protocol RecordReader: AnyObject {
    /// The names of the columns, in the file's order.
    var columns: [String] { get }

    /// Fills `record` with the next row; false at the end of the file.
    ///
    /// - Throws: ``DataFault`` with the line at fault.
    func next(into record: inout Record) throws(DataFault) -> Bool
}

/// The formats of data files.
public enum DataFormat: String, Sendable, Codable, CaseIterable {
    case csv
    case jsonl
    case parquet
}

/// Opens data files.
public enum DataFile {
    /// A reader for the file at `path`.
    ///
    /// - Throws: ``DataFault`` when the file is absent, empty, no text, or of a format that Naura does not read.
    public static func open(path: String, format: DataFormat) throws(DataFault) -> any RecordReader {
        switch format {
        case .csv: return try CSVReader(path: path)
        case .jsonl: return try JSONLReader(path: path)
        case .parquet:
            throw DataFault(.unsupported, "Parquet files are not read yet; publish the data as csv or jsonl")
        }
    }
}
