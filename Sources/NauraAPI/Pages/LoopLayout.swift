import Foundation

/// Where things stand in one arrangement of the picture.
struct LoopLayout {
    /// How two cards are joined.
    enum Way {
        /// A straight line between the facing edges.
        case straight
        /// Along the wheel's rim, clockwise.
        case rim
        /// A bend that leaves sideways and arrives from above.
        case sideways
        /// From nowhere on the picture to a card's lower edge.
        case fromBelow
        /// A bend that leaves downwards and arrives at the nearer side.
        case downwards
    }

    struct Link {
        let type: String
        let from: String
        let to: String
        let way: Way
        /// Where the topic's name stands; nil for none.
        let label: (x: Double, y: Double, anchor: String)?
    }

    let name: String
    let width: Int
    let height: Int
    let card: (width: Double, height: Double)
    let wheel: (x: Double, y: Double, radius: Double, hub: Double)
    let places: [String: (x: Double, y: Double)]
    let links: [Link]

    /// Five workers on a rim, clockwise, the first one at `start` degrees (0 is to the right, 90 below).
    private static func rim(
        _ names: [String], x: Double, y: Double, radius: Double, start: Double
    ) -> [String: (x: Double, y: Double)] {
        Dictionary(
            uniqueKeysWithValues: names.enumerated().map { index, name in
                let angle = (start + 360 / Double(names.count) * Double(index)) * .pi / 180
                return (name, (x + radius * cos(angle), y + radius * sin(angle)))
            })
    }

    private static let wheelNames = ["train", "promote", "rollout", "serve", "monitor"]

    static let wide = LoopLayout(
        name: "wide", width: 1_076, height: 412, card: (168, 66), wheel: (830, 206, 172, 62),
        places: [
            "api": (104, 58), "schedule": (384, 58), "validate": (104, 206), "featurize": (384, 206),
            "notify": (384, 370),
        ].merging(rim(wheelNames, x: 830, y: 206, radius: 172, start: 180)) { first, _ in first },
        links: [
            Link(type: "new-data", from: "api", to: "validate", way: .straight, label: (116, 136, "start")),
            Link(
                type: "data-validated", from: "validate", to: "featurize", way: .straight,
                label: (242, 196, "middle")),
            Link(type: "features-ready", from: "featurize", to: "train", way: .straight, label: (518, 196, "middle")),
            Link(type: "retrain-due", from: "schedule", to: "train", way: .sideways, label: (482, 50, "start")),
            Link(type: "code-merged", from: "outside", to: "train", way: .fromBelow, label: (560, 304, "end")),
            Link(type: "data-rejected", from: "validate", to: "notify", way: .downwards, label: (176, 312, "start")),
            Link(type: "model-trained", from: "train", to: "promote", way: .rim, label: (684, 92, "end")),
            Link(type: "model-promoted", from: "promote", to: "rollout", way: .rim, label: (878, 22, "start")),
            Link(type: "routes", from: "rollout", to: "serve", way: .rim, label: (1_016, 210, "start")),
            Link(type: "predictions", from: "serve", to: "monitor", way: .rim, label: (878, 398, "start")),
            Link(type: "drift-alert", from: "monitor", to: "train", way: .rim, label: (664, 318, "end")),
            Link(type: "drift-alert", from: "monitor", to: "notify", way: .straight, label: nil),
        ])

    static let tall = LoopLayout(
        name: "tall", width: 380, height: 596, card: (116, 58), wheel: (190, 446, 138, 50),
        places: [
            "api": (66, 42), "validate": (66, 134), "featurize": (66, 226), "schedule": (314, 226),
            "notify": (314, 134),
        ].merging(rim(wheelNames, x: 190, y: 446, radius: 138, start: -90)) { first, _ in first },
        links: [
            Link(type: "new-data", from: "api", to: "validate", way: .straight, label: (74, 90, "start")),
            Link(type: "data-validated", from: "validate", to: "featurize", way: .straight, label: (74, 182, "start")),
            Link(type: "features-ready", from: "featurize", to: "train", way: .downwards, label: nil),
            Link(type: "retrain-due", from: "schedule", to: "train", way: .downwards, label: nil),
            Link(type: "data-rejected", from: "validate", to: "notify", way: .straight, label: (190, 126, "middle")),
            Link(type: "model-trained", from: "train", to: "promote", way: .rim, label: nil),
            Link(type: "model-promoted", from: "promote", to: "rollout", way: .rim, label: nil),
            Link(type: "routes", from: "rollout", to: "serve", way: .rim, label: nil),
            Link(type: "predictions", from: "serve", to: "monitor", way: .rim, label: nil),
            Link(type: "drift-alert", from: "monitor", to: "train", way: .rim, label: nil),
        ])

    func arrangement(
        facts: [String: WorkerFacts], times: [String: Int], hub: (title: String, note: String), at: Int?,
        servingAt: Int?
    ) -> LoopPicture.Arrangement {
        LoopPicture.Arrangement(
            name: name, width: width, height: height, wheelX: Format.coordinate(wheel.x),
            wheelY: Format.coordinate(wheel.y), wheelRadius: Format.coordinate(wheel.radius),
            hubRadius: Format.coordinate(wheel.hub), spokes: spokes, hubTitle: hub.title, hubNote: hub.note,
            hubTitleY: Format.coordinate(wheel.y + 1), hubNoteY: Format.coordinate(wheel.y + 18),
            nodes: WorkerFacts.names.compactMap { facts[$0].flatMap(node) },
            edges: links.compactMap { edge($0, times: times, servingAt: servingAt) }, at: at)
    }

    private var spokes: [LoopPicture.Spoke] {
        (0..<15).map { index in
            let angle = (Double(index) * 24 + 12) * .pi / 180
            let (inner, outer) = (wheel.hub + 8, wheel.radius - 14)
            return LoopPicture.Spoke(
                x1: Format.coordinate(wheel.x + inner * cos(angle)),
                y1: Format.coordinate(wheel.y + inner * sin(angle)),
                x2: Format.coordinate(wheel.x + outer * cos(angle)),
                y2: Format.coordinate(wheel.y + outer * sin(angle)))
        }
    }

    private func node(_ facts: WorkerFacts) -> LoopPicture.Node? {
        guard let place = places[facts.name] else { return nil }
        let (left, top) = (place.x - card.width / 2, place.y - card.height / 2)
        let inset = card.width > 140 ? 14.0 : 10.0
        let room = Int((card.width - 2 * inset) / (card.width > 140 ? 6.4 : 5.7))
        let note = facts.note.count > room ? facts.note.prefix(room - 1) + "…" : facts.note
        let lag = facts.lag > 0 ? "lag \(Format.count(facts.lag))" : nil
        let title =
            "\(facts.name): \(facts.state), \(facts.note)"
            + (facts.moment.map { " at \($0.clock) UTC" } ?? "") + (lag.map { ", \($0)" } ?? "")
        return LoopPicture.Node(
            name: facts.name, x: Format.coordinate(left), y: Format.coordinate(top),
            width: Format.coordinate(card.width), height: Format.coordinate(card.height),
            left: Format.coordinate(left + inset), right: Format.coordinate(left + card.width - inset),
            nameY: Format.coordinate(top + card.height * 0.33), noteY: Format.coordinate(top + card.height * 0.6),
            timeY: Format.coordinate(top + card.height * 0.85), state: facts.state, note: String(note),
            moment: facts.moment, lag: lag, instances: facts.instances > 1 ? "× \(facts.instances)" : nil,
            title: title)
    }

    private func edge(_ link: Link, times: [String: Int], servingAt: Int?) -> LoopPicture.Edge? {
        guard let to = places[link.to] else { return nil }
        let from = places[link.from] ?? to
        let path: String
        switch link.way {
        case .straight: path = line(from, to)
        case .rim: path = arc(from, to)
        case .sideways: path = sideways(from, to)
        case .downwards: path = downwards(from, to)
        case .fromBelow: path = fromBelow(to)
        }
        let at = link.type == "predictions" ? servingAt : times[link.type == "routes" ? "rollout-changed" : link.type]
        return LoopPicture.Edge(
            path: path, kind: link.type, label: link.label == nil ? nil : link.type,
            labelX: Format.coordinate(link.label?.x ?? 0), labelY: Format.coordinate(link.label?.y ?? 0),
            anchor: link.label?.anchor ?? "middle", at: at)
    }

    private typealias Point = (x: Double, y: Double)

    private func text(_ point: Point) -> String { "\(Format.coordinate(point.x)) \(Format.coordinate(point.y))" }

    /// From edge to edge of two cards that stand beside or above each other.
    private func line(_ from: Point, _ to: Point) -> String {
        let gap = 9.0
        if abs(from.y - to.y) < card.height {
            let sign = to.x > from.x ? 1.0 : -1.0
            let start = (x: from.x + sign * card.width / 2, y: from.y)
            return "M \(text(start)) L \(text((to.x - sign * (card.width / 2 + gap), to.y)))"
        }
        let sign = to.y > from.y ? 1.0 : -1.0
        let start = (x: from.x, y: from.y + sign * card.height / 2)
        return "M \(text(start)) L \(text((to.x, to.y - sign * (card.height / 2 + gap))))"
    }

    /// Along the rim: between the points where it leaves one card and reaches the next.
    private func arc(_ from: Point, _ to: Point) -> String {
        let start = angle(from)
        var end = angle(to)
        while end < start { end += 2 * .pi }
        let step = Double.pi / 720
        var leaves = start
        while leaves < end, isInside(rimPoint(leaves), of: from, margin: 0) { leaves += step }
        var arrives = end
        while arrives > leaves, isInside(rimPoint(arrives), of: to, margin: 9) { arrives -= step }
        let radius = Format.coordinate(wheel.radius)
        return "M \(text(rimPoint(leaves))) A \(radius) \(radius) 0 0 1 \(text(rimPoint(arrives)))"
    }

    private func sideways(_ from: Point, _ to: Point) -> String {
        let start = (x: from.x + (to.x > from.x ? 1 : -1) * card.width / 2, y: from.y)
        let end = (x: to.x - card.width * 0.36, y: to.y - card.height / 2 - 9)
        return "M \(text(start)) Q \(text((end.x, start.y))) \(text(end))"
    }

    private func fromBelow(_ to: Point) -> String {
        let end = (x: to.x - card.width * 0.36, y: to.y + card.height / 2 + 9)
        return "M \(text((end.x - 32, end.y + 52))) Q \(text((end.x, end.y + 52))) \(text(end))"
    }

    private func downwards(_ from: Point, _ to: Point) -> String {
        let start = (x: from.x, y: from.y + card.height / 2)
        let end = (x: to.x + (to.x > from.x ? -1 : 1) * (card.width / 2 + 9), y: to.y)
        return "M \(text(start)) Q \(text((start.x, end.y))) \(text(end))"
    }

    private func angle(_ point: Point) -> Double { atan2(point.y - wheel.y, point.x - wheel.x) }

    private func rimPoint(_ angle: Double) -> Point {
        (wheel.x + wheel.radius * cos(angle), wheel.y + wheel.radius * sin(angle))
    }

    private func isInside(_ point: Point, of place: Point, margin: Double) -> Bool {
        abs(point.x - place.x) <= card.width / 2 + margin && abs(point.y - place.y) <= card.height / 2 + margin
    }
}
