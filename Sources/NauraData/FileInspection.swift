import Foundation
import NauraRules

/// What a file holds and how it breaks its dataset's contract, found in one pass.
public struct FileInspection: Sendable, Equatable {
    /// Rows between two looks at whether to go on.
    static let pauseRows: Int64 = 10_000

    /// What each column holds.
    public let profile: Profile
    /// Empty when the file may be let in.
    public let violations: [Violation]
    /// The least and greatest event time in microseconds since 1970, where a column holds it.
    public let moments: ClosedRange<Int64>?
    /// Rows whose event time is before what was known, and which yet count as known since then.
    public let backdatedRows: Int64

    /// Reads the file at `path` once.
    ///
    /// - Parameters:
    ///   - dataset: names key, moments and contract.
    ///   - knownUntil: the latest event time that earlier files held, in microseconds since 1970.
    ///   - progress: called now and then with the number of rows read.
    /// - Throws: ``DataFault`` for a file that cannot be read to its end; `CancellationError`.
    public static func inspect(
        path: String, format: DataFormat, dataset: DatasetDefinition, knownUntil: Int64? = nil,
        progress: (Int64) -> Void = { _ in }
    ) async throws -> FileInspection {
        let reader = try DataFile.open(path: path, format: format)
        var pass = Pass(columns: reader.columns, dataset: dataset, knownUntil: knownUntil)
        var record = Record()
        var isMore = true
        while isMore {
            isMore = try pass.read(reader, into: &record)
            progress(record.number)
            // Reading never waits: without this a large file would keep a thread of the pool from everyone else.
            await Task.yield()
            try Task.checkCancellation()
        }
        return pass.result
    }

    private struct Pass {
        private var profiler: Profiler
        private var check: ContractCheck
        private var cells: [Cell]
        private let momentColumn: Int?
        private let knownUntil: Int64?
        private var earliest = Int64.max
        private var latest = Int64.min
        private var backdated: Int64 = 0

        init(columns: [String], dataset: DatasetDefinition, knownUntil: Int64?) {
            profiler = Profiler(columns: columns)
            check = ContractCheck(
                dataset.contract, columns: columns, key: dataset.key,
                moments: [dataset.timestamp.column, dataset.created.column].compactMap { $0 })
            cells = Array(repeating: Cell(.blank), count: columns.count)
            momentColumn = dataset.timestamp.column.flatMap { columns.firstIndex(of: $0) }
            self.knownUntil = dataset.created == .event ? knownUntil : nil
        }

        /// Reads some rows; false at the end of the file.
        mutating func read(_ reader: any RecordReader, into record: inout Record) throws(DataFault) -> Bool {
            for _ in 0..<FileInspection.pauseRows {
                guard try reader.next(into: &record) else { return false }
                let number = record.number
                record.withFields { fields in
                    for index in 0..<fields.count { cells[index] = Cell.read(fields[index]) }
                    cells.withUnsafeBufferPointer { cells in
                        profiler.add(fields, cells)
                        check.add(fields, cells, row: number)
                    }
                }
                if let momentColumn, let moment = cells[momentColumn].moment {
                    earliest = min(earliest, moment)
                    latest = max(latest, moment)
                    if let knownUntil, moment < knownUntil { backdated += 1 }
                }
            }
            return true
        }

        var result: FileInspection {
            FileInspection(
                profile: profiler.profile, violations: check.violations,
                moments: earliest <= latest ? earliest...latest : nil, backdatedRows: backdated)
        }
    }
}

extension Violation {
    /// A file that cannot be read, as a rule that it breaks.
    public init(_ fault: DataFault) {
        self.init(
            rule: fault.code.rawValue, count: 1, sample: fault.line.map { ["line \($0)"] } ?? [],
            message: fault.line.map { "line \($0): \(fault.message)" } ?? fault.message)
    }
}
