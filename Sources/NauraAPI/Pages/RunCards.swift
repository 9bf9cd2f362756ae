import Foundation
import NauraStore

/// The latest runs with the course of their metrics.
struct RunCards {
    struct Card {
        let id: String
        let short: String
        let model: String
        let version: Int?
        let state: String
        let when: Moment
        let took: String?
        let causes: String
        let commit: String?
        let curves: [Curve]
        let metrics: [Metric]
    }

    /// A metric over the steps, as a line in a box of 120 × 36.
    struct Curve {
        let metric: String
        let last: String
        let points: String
        let endX: String
        let endY: String
        let title: String
    }

    /// A metric without a course.
    struct Metric {
        let metric: String
        let value: String
    }

    let cards: [Card]
    let isEmpty: Bool

    private static let curvesMax = 4

    init(_ snapshot: LoopSnapshot) {
        let curves = Dictionary(grouping: snapshot.curves, by: \.run)
        cards = snapshot.runs.reversed().map { RunCards.card($0, curves[$0.id] ?? []) }
        isEmpty = cards.isEmpty
    }

    private static func card(_ run: RunRow, _ curves: [MetricCurve]) -> Card {
        let drawn = curves.sorted { (rank($0.metric), $0.metric) < (rank($1.metric), $1.metric) }
            .prefix(curvesMax).compactMap(curve)
        let drawnNames = Set(curves.map(\.metric))
        let rest = run.metrics.filter { !drawnNames.contains($0.key) }.sorted { $0.key < $1.key }.prefix(6)
        let causes = run.causes.count == 1 ? "1 cause" : "\(Format.count(run.causes.count)) causes"
        return Card(
            id: run.id, short: Format.short(run.id), model: run.model ?? "–", version: run.version, state: run.state,
            when: Moment(run.startedAt),
            took: run.endedAt.map { Format.duration($0.timeIntervalSince(run.startedAt)) }, causes: causes,
            commit: run.codeCommit.map { String($0.prefix(7)) }, curves: Array(drawn),
            metrics: rest.map { Metric(metric: $0.key, value: Format.metric($0.value)) })
    }

    /// What was measured on rows that the trainer did not fit comes first.
    private static func rank(_ metric: String) -> Int { metric.contains("valid") || metric.contains("eval") ? 0 : 1 }

    private static func curve(_ curve: MetricCurve) -> Curve? {
        guard let first = curve.steps.first, let end = curve.steps.last, end > first, let last = curve.values.last,
            let least = curve.values.min(), let most = curve.values.max()
        else { return nil }
        let span = max(most - least, 1e-12)
        let points = zip(curve.steps, curve.values).map { step, value in
            (x: 3 + Double(step - first) / Double(end - first) * 114, y: 33 - (value - least) / span * 30)
        }
        let text = points.map { "\(Format.coordinate($0.x)),\(Format.coordinate($0.y))" }.joined(separator: " ")
        return Curve(
            metric: curve.metric, last: Format.decimal(last, 4), points: text,
            endX: Format.coordinate(points.last?.x ?? 0), endY: Format.coordinate(points.last?.y ?? 0),
            title: "\(curve.metric) over \(Format.count(end - first + 1)) steps, from "
                + "\(Format.decimal(curve.values[0], 4)) to \(Format.decimal(last, 4))")
    }
}
