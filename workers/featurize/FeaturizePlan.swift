import Foundation
import NauraData
import NauraRules
import NauraStage
import NauraStore

/// What is to be written for one snapshot, as the project stood when the work began.
struct FeaturizePlan: Sendable {
    let snapshot: Snapshot
    let sha256: String
    let format: DataFormat
    let dataset: DatasetDefinition
    /// The views that lack the snapshot.
    let views: [CurrentView]
    let labels: [LabelTarget]
    /// Whether a backfill orders them.
    let isBackfill: Bool

    var number: Int64 { snapshot.number }

    /// Nil when there is nothing to do: the snapshot was refused, or its dataset is no longer part of a project.
    static func make(_ order: FeaturizeOrder, in work: borrowing Work) async throws -> FeaturizePlan? {
        let transaction = work.transaction
        let snapshot = try await Snapshots.find(order.dataset, order.number, in: transaction)
        guard let dataset = try await Datasets.find(order.dataset, in: transaction), let sha256 = snapshot.sha256,
            // A failed one comes again when its job is redriven.
            [.validated, .ready, .failed].contains(snapshot.state)
        else { return nil }
        let isReady = snapshot.state == .ready
        let columns = try await Datasets.labelColumns(of: order.dataset, in: transaction)
        let labels = isReady ? columns.filter { order.labels?.contains($0) == true } : columns
        return FeaturizePlan(
            snapshot: snapshot, sha256: sha256, format: DataFormat(rawValue: snapshot.format) ?? .csv,
            dataset: dataset, views: try await FeatureViews.lacking(order.dataset, order.number, in: transaction),
            labels: labels.map {
                LabelTarget(dataset: order.dataset, column: $0, number: order.number, isDraft: isReady)
            }, isBackfill: order.isBackfill == true)
    }

    /// What a project that was applied meanwhile added: work for a job of its own. Nil when nothing is left.
    func remainder(in work: borrowing Work) async throws -> (order: FeaturizeOrder, about: String)? {
        let transaction = work.transaction
        let missing = try await FeatureViews.lacking(dataset.name, number, in: transaction)
        let columns = try await Datasets.labelColumns(of: dataset.name, in: transaction)
        // A snapshot that was ready got the labels that its order names; another apply ordered the rest.
        let done = Set(labels.map(\.column))
        let open = snapshot.state == .ready ? [] : columns.filter { !done.contains($0) }
        guard !missing.isEmpty || !open.isEmpty else { return nil }
        let parts = missing.map { "view-\($0.id)" } + open.map { "label-\($0)" }
        return (
            FeaturizeOrder(dataset: dataset.name, number: number, labels: open, isBackfill: isBackfill ? true : nil),
            "\(dataset.name)/\(number)/\(parts.joined(separator: "+"))"
        )
    }
}

/// What has been written so far.
struct FeaturizeWriting {
    let plan: FeaturizePlan
    /// Rows read.
    private(set) var rows: Int64 = 0
    /// Rows that had a key and a moment.
    private(set) var written: Int64 = 0
    /// The latest event time, in microseconds since 1970.
    private(set) var latest: Int64?
    private var readers: [ViewReader] = []

    init(plan: FeaturizePlan) { self.plan = plan }

    mutating func finish(_ pass: FeaturizePass, rows: Int64) {
        self.rows = rows
        written = pass.written
        latest = pass.latest
        readers = pass.readers
    }

    /// One JSON document a view.
    func statistics() throws -> [String] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try readers.map { String(decoding: try encoder.encode(["features": $0.statistics]), as: UTF8.self) }
    }
}

/// Turns rows of the file into rows of the tables, a piece at a time.
struct FeaturizePass {
    /// Rows to be written, one list a view and one a label column.
    struct Piece: Sendable {
        var features: [[FeatureRow]]
        var labels: [[LabelRow]]
    }

    private(set) var readers: [ViewReader]
    private(set) var written: Int64 = 0
    private(set) var latest: Int64?
    private let row: RowReader
    /// Place and type of each label's column; nil where the file lacks it.
    private let labels: [(index: Int, type: ColumnType)?]
    private var cells: [Cell]
    private var piece: Piece

    init(plan: FeaturizePlan, columns: [String]) throws {
        let contract = plan.dataset.contract
        row = try RowReader(
            plan.dataset, columns: columns, arrival: Timestamp.microseconds(plan.snapshot.arrivedAt))
        readers = plan.views.map { ViewReader($0.definition, contract: contract, columns: columns) }
        labels = plan.labels.map { target in
            columns.firstIndex(of: target.column).map { ($0, contract.column(target.column)?.type ?? .text) }
        }
        cells = Array(repeating: Cell.read(""), count: columns.count)
        piece = Piece(
            features: Array(repeating: [], count: plan.views.count),
            labels: Array(repeating: [], count: plan.labels.count))
    }

    /// Reads up to `rows` rows into the piece; false at the end of the file.
    mutating func read(_ reader: any RecordReader, into record: inout Record, rows: Int) throws(DataFault) -> Bool {
        for _ in 0..<rows {
            guard try reader.next(into: &record) else { return false }
            let number = record.number
            record.withFields { fields in
                for index in 0..<fields.count { cells[index] = Cell.read(fields[index]) }
                cells.withUnsafeBufferPointer { add(fields, $0, rowNumber: number) }
            }
        }
        return true
    }

    /// The rows since the last call.
    mutating func takePiece() -> Piece {
        let taken = piece
        for index in piece.features.indices { piece.features[index].removeAll(keepingCapacity: true) }
        for index in piece.labels.indices { piece.labels[index].removeAll(keepingCapacity: true) }
        return taken
    }

    private mutating func add(_ fields: RecordFields, _ cells: UnsafeBufferPointer<Cell>, rowNumber: Int64) {
        guard let identity = row.identity(fields, cells) else { return }
        written += 1
        latest = max(latest ?? identity.event, identity.event)
        for index in readers.indices {
            let values = readers[index].values(fields, cells)
            piece.features[index].append(
                FeatureRow(
                    entityKey: identity.key, event: identity.event, created: identity.created, rowNumber: rowNumber,
                    numbers: values.numbers, texts: values.texts))
        }
        for (index, label) in labels.enumerated() {
            guard let label, let text = cells[label.index].label(fields[label.index], type: label.type) else {
                continue
            }
            piece.labels[index].append(
                LabelRow(
                    entityKey: identity.key, event: identity.event, created: identity.created, rowNumber: rowNumber,
                    label: text))
        }
    }
}
