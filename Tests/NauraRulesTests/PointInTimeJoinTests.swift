import NauraRules
import Testing

@Suite("The point-in-time join")
struct PointInTimeJoinTests {
    /// A row of the worked examples: minutes after an origin, and the value it carries.
    struct Row: Sendable {
        let event: Int64
        let created: Int64
        let value: Int?
    }

    struct Example: Sendable, CustomTestStringConvertible {
        let rows: [(Int64, Int64, Int?)]
        let moment: Double
        let answer: Int?
        let knownBy: Int?
        var testDescription: String { "\(rows) at \(moment)" }
    }

    static let minute: Int64 = 60_000_000
    static let examples: [Example] = [
        Example(rows: [(0, 0, 1)], moment: 60, answer: 1, knownBy: 1),
        Example(rows: [(0, 0, 1)], moment: 60 + 1 / 60e6, answer: nil, knownBy: nil),
        Example(rows: [(0, 0, 1)], moment: 0, answer: 1, knownBy: 1),
        Example(rows: [(10, 10, 1)], moment: 5, answer: nil, knownBy: nil),
        Example(rows: [(30, 40, 2), (30, 30, 1)], moment: 50, answer: 2, knownBy: 2),
        Example(rows: [(30, 40, 2), (30, 30, 1)], moment: 35, answer: 2, knownBy: 1),
        Example(rows: [(30, 30, 1), (20, 45, 2)], moment: 50, answer: 1, knownBy: 1),
        Example(rows: [(0, 0, 1), (40, 50, 2)], moment: 49, answer: 2, knownBy: 1),
        Example(rows: [(0, 0, 1), (40, 40, nil)], moment: 50, answer: nil, knownBy: nil),
        Example(rows: [(0, 90, 1)], moment: 100, answer: nil, knownBy: nil),
        Example(rows: [(0, 0, 1), (0, 0, 2)], moment: 5, answer: 2, knownBy: 2),
    ]

    @Test("the worked examples come out as worked", arguments: examples)
    func worked(example: Example) {
        let arrived = example.rows.map { Row(event: $0.0 * Self.minute, created: $0.1 * Self.minute, value: $0.2) }
        let rows = arrived.enumerated().sorted {
            ($0.element.event, $0.element.created, $0.offset) < ($1.element.event, $1.element.created, $1.offset)
        }.map(\.element)
        let moments = rows.map { FeatureMoment(event: $0.event, created: $0.created) }
        let moment = Int64((example.moment * 60e6).rounded())
        for (isKnownBy, expected) in [(false, example.answer), (true, example.knownBy)] {
            let join = PointInTimeJoin(ttlMicroseconds: 60 * Self.minute, isKnownBy: isKnownBy)
            #expect(join.answer(at: moment, among: moments).flatMap { rows[$0].value } == expected)
            #expect(join.answers(at: [moment], among: moments)[0].flatMap { rows[$0].value } == expected)
        }
    }

    @Test("thousands of random histories give what a search over all rows gives")
    func bruteForce() {
        var random = SplitMix64(seed: 11)
        for _ in 0..<5_000 {
            let count = random.nextIndex(below: 12)
            let rows = (0..<count).map { _ in
                let event = Int64(random.nextIndex(below: 20)) - 5
                return FeatureMoment(event: event, created: event + Int64(random.nextIndex(below: 8)) - 2)
            }.sorted { ($0.event, $0.created) < ($1.event, $1.created) }
            let ttl: Int64? = random.nextIndex(below: 3) == 0 ? nil : Int64(random.nextIndex(below: 10))
            let isKnownBy = random.nextIndex(below: 2) == 0
            let join = PointInTimeJoin(ttlMicroseconds: ttl, isKnownBy: isKnownBy)
            let moments = (0..<6).map { _ in Int64(random.nextIndex(below: 26)) - 8 }.sorted()
            let merged = join.answers(at: moments, among: rows)
            for (moment, answer) in zip(moments, merged) {
                let expected = rows.indices.filter { index in
                    let row = rows[index]
                    let isFresh = ttl == nil || ttl == 0 || row.event >= moment - ttl!
                    return row.event <= moment && isFresh && (!isKnownBy || row.created <= moment)
                }.max()
                #expect(answer == expected)
                #expect(join.answer(at: moment, among: rows) == expected)
            }
        }
    }

    @Test("moments at the ends of time do not trap")
    func extremes() {
        let rows = [FeatureMoment(event: .min, created: .min), FeatureMoment(event: .max, created: .max)]
        let join = PointInTimeJoin(ttlMicroseconds: .max)
        #expect(join.answers(at: [.min, 0, .max], among: rows) == [0, nil, 1])
    }
}

@Suite("The holdout")
struct HoldoutTests {
    @Test("an entity never moves sides, and a larger share keeps the smaller one's entities")
    func stable() {
        let keys = (0..<20_000).map { "customer-\($0)" }
        let held = Set(keys.filter { Holdout.side(entityKey: $0, share: 0.2, salt: "churn") == .holdout })
        let more = Set(keys.filter { Holdout.side(entityKey: $0, share: 0.3, salt: "churn") == .holdout })
        #expect(held.isSubset(of: more))
        #expect(abs(Double(held.count) / 20_000 - 0.2) < 0.01)
        let other = Set(keys.filter { Holdout.side(entityKey: $0, share: 0.2, salt: "other") == .holdout })
        #expect(abs(Double(held.intersection(other).count) / 20_000 - 0.04) < 0.005)
        // Pinned: another value would move customers between the sides of every model there is.
        #expect(Holdout.position(entityKey: "7590-VHVEG", salt: "churn") == 0.9981599132621297)
        #expect(Holdout.side(entityKey: "x", share: 0, salt: "") == .training)
        #expect(Holdout.side(entityKey: "x", share: 1, salt: "") == .holdout)
    }
}
