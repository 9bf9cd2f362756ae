import NauraRules

/// Makes a ``Profile`` of a file, a row at a time, with memory that does not grow with the file.
public struct Profiler {
    private var columns: [ColumnProfiler]
    private var rows: Int64 = 0

    /// A profiler for a file with these columns.
    public init(columns names: [String]) {
        columns = names.map { ColumnProfiler(name: $0) }
    }

    /// Takes in one row: its fields and what ``Cell/read(_:)-(UnsafeBufferPointer<UInt8>)`` made of each.
    public mutating func add(_ fields: RecordFields, _ cells: UnsafeBufferPointer<Cell>) {
        rows += 1
        for index in columns.indices { columns[index].add(cells[index], fields[index]) }
    }

    /// The profile of the rows so far.
    public var profile: Profile { Profile(rows: rows, columns: columns.map(\.profile)) }

    /// Every value with its count, the most frequent first, of column `index`; nil where there are more than 1,000.
    public func frequencies(_ index: Int) -> [ValueCount]? { columns[index].counter.frequencies }

    /// Profiles the whole file that `reader` reads.
    public static func profile(_ reader: any RecordReader) throws(DataFault) -> Profiler {
        var profiler = Profiler(columns: reader.columns)
        try reader.forEachCells { fields, cells, _ in profiler.add(fields, cells) }
        return profiler
    }
}

extension RecordReader {
    /// Reads all rows, lending each row's fields, their cells, and the row's number.
    public func forEachCells(
        _ body: (RecordFields, UnsafeBufferPointer<Cell>, Int64) throws(DataFault) -> Void
    ) throws(DataFault) {
        var record = Record()
        var cells = [Cell](repeating: Cell(.blank), count: columns.count)
        while try next(into: &record) {
            let number = record.number
            try record.withFields { (fields) throws(DataFault) in
                for index in 0..<fields.count { cells[index] = Cell.read(fields[index]) }
                try cells.withUnsafeBufferPointer { (cells) throws(DataFault) in try body(fields, cells, number) }
            }
        }
    }
}

/// Counts one column's kinds of cells, and its numbers.
struct ColumnProfiler {
    let name: String
    private(set) var counter = ValueCounter()
    private var kinds = [Int64](repeating: 0, count: 7)
    private var moments = RunningMoments()

    init(name: String) { self.name = name }

    mutating func add(_ cell: Cell, _ field: UnsafeBufferPointer<UInt8>) {
        kinds[Int(cell.kind.rawValue)] += 1
        switch cell.kind {
        case .blank: return
        case .integer, .number, .boolean: moments.add(cell.value)
        case .timestamp: moments.add(cell.value / 1_000_000)
        case .nullMark, .text: break
        }
        counter.count(Cell.trimmed(field))
    }

    private func count(_ kind: Cell.Kind) -> Int64 { kinds[Int(kind.rawValue)] }

    /// The narrowest type of all values seen.
    var type: ColumnType {
        let numbers = count(.integer) + count(.number)
        let values = numbers + count(.boolean) + count(.timestamp) + count(.text)
        if values == 0 { return .text }
        if numbers == values { return count(.number) == 0 ? .integer : .number }
        if count(.boolean) == values { return .boolean }
        return count(.timestamp) == values ? .timestamp : .text
    }

    var profile: ColumnProfile {
        let type = type
        let isText = type == .text
        let frequencies = counter.frequencies ?? []
        let isMarked = count(.nullMark) > 0 && !isText
        let top = isMarked ? frequencies.filter { Cell.read($0.value).kind != .nullMark } : frequencies
        return ColumnProfile(
            name: name, type: type, nulls: count(.blank) + (isText ? 0 : count(.nullMark)),
            distinct: counter.distinct - (isMarked ? frequencies.count - top.count : 0),
            distinctIsCapped: counter.isCapped, minimum: isText ? nil : moments.minimum,
            maximum: isText ? nil : moments.maximum, mean: isText ? nil : moments.mean,
            standardDeviation: isText ? nil : moments.standardDeviation, top: Array(top.prefix(10)))
    }
}

/// Count, extremes, mean and spread of numbers, in one pass (Welford, 1962).
public struct RunningMoments: Sendable, Equatable {
    public private(set) var count: Int64 = 0
    private var least = Double.infinity
    private var greatest = -Double.infinity
    private var average = 0.0
    private var squares = 0.0

    /// No numbers yet.
    public init() {}

    /// Takes in one number.
    public mutating func add(_ value: Double) {
        count += 1
        least = min(least, value)
        greatest = max(greatest, value)
        let difference = value - average
        average += difference / Double(count)
        squares += difference * (value - average)
    }

    /// The least number; nil when there is none.
    public var minimum: Double? { count > 0 ? least : nil }
    /// The greatest number; nil when there is none.
    public var maximum: Double? { count > 0 ? greatest : nil }
    /// The mean; nil when there is no number, or their sum is beyond a double's range.
    public var mean: Double? { count > 0 && average.isFinite ? average : nil }
    /// The sample standard deviation (n − 1); nil below two numbers, or beyond a double's range.
    public var standardDeviation: Double? {
        guard count > 1 else { return nil }
        let value = (squares / Double(count - 1)).squareRoot()
        return value.isFinite ? value : nil
    }
}
