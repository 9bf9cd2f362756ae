import Foundation
import NIOCore
import NauraData
import NauraRules

/// A change of the customers that traffic pretends to come from: `contract=Two year`, `monthlycharges*1.6`.
struct TrafficShift: Sendable {
    enum Change: Sendable {
        case set(String)
        case multiply(Double)
    }

    let column: String
    let change: Change

    /// Reads `COLUMN=VALUE` or `COLUMN*FACTOR`.
    /// - Throws: ``CommandError`` when it is neither.
    init(_ text: String) throws {
        if let place = text.firstIndex(of: "=") {
            (column, change) = (String(text[..<place]), .set(String(text[text.index(after: place)...])))
        } else if let place = text.lastIndex(of: "*"), let factor = Double(text[text.index(after: place)...]) {
            (column, change) = (String(text[..<place]), .multiply(factor))
        } else {
            throw CommandError(.badArgument, "--shift \(text): expected COLUMN=VALUE or COLUMN*FACTOR")
        }
    }

    func apply(_ text: String) -> String {
        switch change {
        case .set(let value): value
        case .multiply(let factor): Double(text).map { "\(($0 * factor * 100).rounded() / 100)" } ?? text
        }
    }
}

/// Turns a data file's rows into requests, by the expressions of the model's feature views: what an application does
/// that knows the raw columns.
struct TrafficRows {
    let views: [FeatureViewDefinition]
    let contract: Contract
    /// The column that names a row's unit; nil makes every request a visit of its own.
    let unitColumn: String?
    let shifts: [TrafficShift]

    /// The first `limit` rows of the CSV file at `path`.
    ///
    /// - Throws: ``DataFault`` when the file cannot be read, ``CommandError`` when a column is not in it.
    func read(_ path: String, limit: Int = 20_000) throws -> [TrafficRow] {
        let reader = try CSVReader(path: path)
        let places = Dictionary(
            reader.columns.enumerated().map { ($0.element, $0.offset) }, uniquingKeysWith: { first, _ in first })
        for column in [unitColumn].compactMap({ $0 }) + shifts.map(\.column) where places[column] == nil {
            throw CommandError(.badArgument, "\(path) has no column \(column)")
        }
        let types = Dictionary(
            contract.columns.map { ($0.name, $0.type) }, uniquingKeysWith: { first, _ in first })
        var rows: [TrafficRow] = []
        var record = Record()
        while rows.count < limit, try reader.next(into: &record) {
            var cells: [String: CellValue] = [:]
            for (column, place) in places {
                let shift = shifts.first { $0.column == column }
                let raw = record.text(place)
                var text = shift?.apply(raw) ?? raw
                cells[column] = text.withUTF8 { Cell.read($0).value($0, type: types[column] ?? .text) }
            }
            let unit = unitColumn.flatMap { places[$0] }.map { record.text($0) }
            rows.append(TrafficRow(body: try body(cells), unit: unit))
        }
        return rows
    }

    private func body(_ cells: [String: CellValue]) throws -> ByteBuffer {
        var instance: [String: Any] = [:]
        for feature in views.flatMap(\.features) {
            switch feature.expression.evaluate(cells) {
            case .null: instance[feature.name] = NSNull()
            case .number(let number): instance[feature.name] = number
            case .text(let text): instance[feature.name] = text
            }
        }
        let data = try JSONSerialization.data(withJSONObject: ["instances": [instance]], options: [.sortedKeys])
        return ByteBuffer(bytes: data)
    }
}
