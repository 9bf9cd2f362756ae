import Foundation
import NauraRules
import NauraStore

/// How far each column of the last closed window is from its reference.
struct DriftCards {
    struct Card {
        let model: String
        let version: Int
        let rows: String
        let from: Moment
        let to: Moment
        let columns: [Column]
        let drifted: String
        let isDrifted: Bool
    }

    struct Column {
        let name: String
        let method: String
        let statistic: String
        let threshold: String
        let fill: String
        let mark: String
        let isDrifted: Bool
        let title: String
    }

    let cards: [Card]
    let isEmpty: Bool

    init(_ snapshot: LoopSnapshot) {
        cards = Dictionary(grouping: snapshot.drift, by: \.model).sorted { $0.key < $1.key }.compactMap { _, rows in
            DriftCards.card(rows)
        }
        isEmpty = cards.isEmpty
    }

    /// The statistic in units of its threshold; chances, of which the small ones matter, on a logarithmic scale.
    private static func ratio(_ row: DriftRow) -> Double {
        guard row.threshold > 0, row.threshold < 1 || DriftTest(rawValue: row.method)?.isChance != true else {
            return 0
        }
        guard DriftTest(rawValue: row.method)?.isChance == true else { return row.statistic / row.threshold }
        return log(max(row.statistic, 1e-12)) / log(row.threshold)
    }

    private static func card(_ rows: [DriftRow]) -> Card? {
        guard let first = rows.first else { return nil }
        // One scale for all bars, in thresholds: bars of columns with different methods can be compared.
        let ratios = rows.map(ratio)
        let scale = max(2, min(8, ratios.max() ?? 2))
        let drifted = rows.filter(\.isDrifted).count
        let columns = zip(rows, ratios).map { row, ratio in
            Column(
                name: row.column, method: row.method, statistic: Format.decimal(row.statistic, 3),
                threshold: Format.decimal(row.threshold, 2),
                fill: Format.coordinate(max(0.5, min(1, ratio / scale) * 100)),
                mark: Format.coordinate(100 / scale), isDrifted: row.isDrifted,
                title: "\(row.column): \(row.method) \(Format.decimal(row.statistic, 3)), limit "
                    + Format.decimal(row.threshold, 2))
        }
        return Card(
            model: first.model, version: first.version, rows: Format.count(first.rows),
            from: Moment(first.windowFrom), to: Moment(first.windowTo), columns: columns,
            drifted: drifted == 0 ? "no column has drifted" : "\(drifted) of \(rows.count) columns have drifted",
            isDrifted: drifted > 0)
    }
}
