import Foundation
import NauraStore

/// Champion and candidate of each model, with what the gate saw.
struct ModelCards {
    struct Card {
        let name: String
        let champion: String?
        let championNote: String?
        let candidate: String?
        let candidateState: String?
        let versions: [Badge]
        let gate: GateDrawing?
        let verdict: String?
        let verdictClass: String
        let reason: String?
        let when: Moment?
        let traffic: String?
    }

    /// One version as a small mark, newest first.
    struct Badge {
        let version: Int
        let state: String
        let title: String
    }

    let cards: [Card]
    let isEmpty: Bool

    init(_ snapshot: LoopSnapshot) {
        cards = snapshot.models.map { ModelCards.card($0, snapshot) }
        isEmpty = cards.isEmpty
    }

    private static func card(_ model: ModelRow, _ snapshot: LoopSnapshot) -> Card {
        let evaluation = snapshot.evaluations.last { $0.model == model.name }
        let serving = snapshot.serving.first { $0.model == model.name }
        let candidate = model.versions.last { ["trained", "passed", "candidate"].contains($0.state) }
        let championRun = model.versions.first { $0.version == model.champion }?.run
        let championScore = snapshot.evaluations.last { $0.model == model.name && $0.version == model.champion }
        let note =
            championScore?.candidateScore.map { "\(championScore?.metric ?? "score") \(Format.decimal($0, 4))" }
            ?? championRun.map { "run \(Format.short($0))" }
        let traffic = serving.map { serving in
            let rate = Double(serving.recentPredictions) / 10
            let gateways = serving.gateways == 1 ? "1 gateway" : "\(serving.gateways) gateways"
            return "\(gateways), \(Format.decimal(rate, rate < 10 ? 1 : 0)) answers a second"
        }
        return Card(
            name: model.name, champion: model.champion.map { "v\($0)" }, championNote: note,
            candidate: candidate.map { "v\($0.version)" }, candidateState: candidate?.state,
            versions: model.versions.suffix(14).reversed().map { version in
                Badge(
                    version: version.version, state: version.state,
                    title: "version \(version.version): \(version.state), digest \(Format.short(version.digest))")
            },
            gate: evaluation.flatMap(GateDrawing.init),
            verdict: evaluation.map { "v\($0.version) \($0.verdict)" },
            verdictClass: evaluation?.verdict ?? "", reason: evaluation?.reason,
            when: evaluation.map { Moment($0.evaluatedAt) }, traffic: traffic)
    }
}

/// The interval of candidate − champion on a line, with the margin that it must stay above.
struct GateDrawing {
    let title: String
    let metric: String
    let candidate: String
    let champion: String
    let zero: String
    let margin: String?
    let refusedWidth: String
    let lower: String
    let upper: String
    let width: String
    let point: String
    let lowerText: String
    let upperText: String
    let pointText: String
    let marginText: String?
    let isGood: Bool

    private static let lineWidth = 320.0
    private static let inset = 14.0

    init?(_ row: EvaluationRow) {
        guard let difference = row.difference, let low = row.lower, difference.isFinite, low.isFinite else {
            return nil
        }
        // A one-sided bound has no upper end: the line is drawn as far above the difference as it reaches below.
        let high = row.upper.flatMap { $0.isFinite ? $0 : nil } ?? (difference + (difference - low))
        let limit = row.margin.map { -$0 }
        let least = min(low, limit ?? 0, 0)
        let most = max(high, 0)
        let pad = max(most - least, 1e-6) * 0.08
        let (from, span) = (least - pad, most - least + 2 * pad)
        func place(_ value: Double) -> Double {
            GateDrawing.inset + (value - from) / span * (GateDrawing.lineWidth - 2 * GateDrawing.inset)
        }
        metric = row.metric
        candidate = row.candidateScore.map { Format.decimal($0, 4) } ?? "–"
        champion = row.championScore.map { Format.decimal($0, 4) } ?? "–"
        zero = Format.coordinate(place(0))
        margin = limit.map { Format.coordinate(place($0)) }
        refusedWidth = Format.coordinate(limit.map { max(0, place($0)) } ?? 0)
        lower = Format.coordinate(place(low))
        upper = Format.coordinate(place(high))
        width = Format.coordinate(max(2, place(high) - place(low)))
        point = Format.coordinate(place(difference))
        lowerText = Format.signed(low, 4)
        upperText = Format.signed(high, 4)
        pointText = Format.signed(difference, 4)
        marginText = limit.map { Format.signed($0, 3) }
        isGood = low > (limit ?? 0)
        title =
            "\(row.metric), candidate minus champion: \(pointText), between \(lowerText) and \(upperText)"
            + (marginText.map { "; the lower bound must be above \($0)" } ?? "")
    }
}
