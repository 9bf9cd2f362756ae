public import NauraRules

/// One labelled row of a frozen training set.
public struct TrainingRow: Sendable, Equatable {
    /// The entity.
    public let key: String
    /// Whether the row is kept away from training.
    public let side: Holdout.Side
    /// The label as the data has it.
    public let label: String
    /// The features in the order of the inputs.
    public let values: [CellValue]

    /// A row of a training set.
    public init(key: String, side: Holdout.Side, label: String, values: [CellValue]) {
        self.key = key
        self.side = side
        self.label = label
        self.values = values
    }
}

/// The files of a frozen training set: its rows, whose SHA-256 is the set's name, and their moments.
///
/// The rows' file is JSON lines: the names, then `[key, side, label, feature, …]` a row, sorted by key, moment and content.
/// It holds nothing of when and how the rows arrived, so the same data gives the same name on any machine. The moments,
/// microseconds since 1970, stand one a line in a file of their own.
public struct TrainingSetWriter: ~Copyable {
    private let rows: LineWriter
    private let moments: LineWriter

    /// Begins both files and writes the names.
    ///
    /// - Throws: ``ModelFault`` `unreadable` when a file cannot be written.
    public init(rowsPath: String, momentsPath: String, inputs: [ModelInput]) throws(ModelFault) {
        let rows = try LineWriter(path: rowsPath)
        let moments = try LineWriter(path: momentsPath)
        let names = ["key", "side", "label"] + inputs.map(\.name)
        try rows.write(JSONValue.array(names.map(JSONValue.text)).canonicalBytes())
        self.rows = rows
        self.moments = moments
    }

    /// Adds a row. Rows come sorted by key, moment and content.
    public func append(_ row: TrainingRow, moment: Int64) throws(ModelFault) {
        var line: [JSONValue] = [.text(row.key), .text(row.side.rawValue), .text(row.label)]
        for value in row.values { line.append(JSONValue(value)) }
        try rows.write(JSONValue.array(line).canonicalBytes())
        try moments.write(Array("\(moment)\n".utf8))
    }

    /// Everything that was added reaches the files.
    public func flush() throws(ModelFault) {
        try rows.flush()
        try moments.flush()
    }
}

/// Reads the files that ``TrainingSetWriter`` wrote.
public enum TrainingSetFile {
    /// Calls `body` with each row in order; memory holds one row.
    ///
    /// - Throws: ``ModelFault`` when the file is not one of ours, or its names are not those of `inputs`; what `body` throws.
    public static func forEachRow(
        of path: String, inputs: [ModelInput], _ body: (TrainingRow) throws -> Void
    ) throws {
        var reader = try LineReader(path: path)
        let names = JSONValue.array((["key", "side", "label"] + inputs.map(\.name)).map(JSONValue.text))
        guard let header = reader.next(), try JSONValue(parsing: header, of: "training set") == names else {
            throw ModelFault(.malformed, "the training set \(path) does not hold the features of the model")
        }
        while let line = reader.next() { try body(try row(line, inputs: inputs.count)) }
    }

    /// The moments in the order of the rows.
    public static func moments(of path: String) throws(ModelFault) -> [Int64] {
        var reader = try LineReader(path: path)
        var moments: [Int64] = []
        while let line = reader.next() {
            guard let moment = Int64(String(decoding: line, as: UTF8.self)) else {
                throw ModelFault(.malformed, "line \(moments.count + 1) of \(path) is no moment")
            }
            moments.append(moment)
        }
        return moments
    }

    private static func row(_ line: [UInt8], inputs: Int) throws(ModelFault) -> TrainingRow {
        guard case .array(let values) = try JSONValue(parsing: line, of: "training set"), values.count == inputs + 3,
            case .text(let key) = values[0], case .text(let word) = values[1], case .text(let label) = values[2],
            let side = Holdout.Side(rawValue: word)
        else { throw ModelFault(.malformed, "a line of the training set is no row of \(inputs) features") }
        var cells: [CellValue] = []
        cells.reserveCapacity(inputs)
        for value in values.dropFirst(3) { cells.append(try CellValue(value)) }
        return TrainingRow(key: key, side: side, label: label, values: cells)
    }
}

extension JSONValue {
    /// A cell in JSON; what is no finite number counts as missing, as for the trees.
    init(_ cell: CellValue) {
        switch cell {
        case .number(let number) where number.isFinite: self = .number(number)
        case .number, .null: self = .null
        case .text(let text): self = .text(text)
        }
    }
}

extension CellValue {
    /// A cell read from JSON.
    init(_ value: JSONValue) throws(ModelFault) {
        switch value {
        case .null: self = .null
        case .number(let number): self = .number(number)
        case .text(let text): self = .text(text)
        default: throw ModelFault(.malformed, "a value is no number, text or null")
        }
    }
}
