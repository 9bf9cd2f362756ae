import Foundation
import NauraRules
import Testing

@Suite("The promotion gate")
struct PromotionGateTests {
    struct Vector: Decodable {
        let labels: [Bool]
        let entities: [Int]
        let candidate: [Double]
        let other: [Double]
        let candidateArea: Double
        let otherArea: Double
        let variance: Double
    }

    /// A holdout whose positives score higher by `lift`, with noise; the champion has its own lift.
    static func holdout(
        count: Int = 1_200, lift: Double, champion: Double?, best: Double? = nil, seed: UInt64 = 1,
        rowsPerEntity: Int = 1
    ) -> ScoredHoldout {
        var random = SplitMix64(seed: seed)
        func noise() -> Double { (0..<6).reduce(-3.0) { sum, _ in sum + random.nextUnit() } }
        func squash(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        var holdout = ScoredHoldout(entities: [], labels: [], candidate: [])
        var other: [Double] = []
        var third: [Double] = []
        for row in 0..<count {
            let label = random.nextUnit() < 0.3
            let shared = noise()
            holdout.entities.append("e\(row / rowsPerEntity)")
            holdout.labels.append(label)
            holdout.candidate.append(squash(shared + (label ? lift : 0) + noise() * 0.3))
            other.append(squash(shared + (label ? champion ?? 0 : 0) + noise() * 0.3))
            third.append(squash(shared + (label ? best ?? 0 : 0) + noise() * 0.3))
        }
        if champion != nil { holdout.champion = other }
        if best != nil { holdout.best = third }
        return holdout
    }

    @Test("areas and variances equal a second implementation's, with and without clusters")
    func vectors() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/gate-vectors.json")
        for vector in try JSONDecoder().decode([Vector].self, from: Data(contentsOf: file)) {
            let result = DeLong.compare(
                labels: vector.labels, entities: vector.entities, candidate: vector.candidate, other: vector.other)
            #expect(abs(result.candidate - vector.candidateArea) < 1e-12)
            #expect(abs(result.other - vector.otherArea) < 1e-12)
            #expect(abs(result.variance - vector.variance) < 1e-12 * max(1, vector.variance))
        }
    }

    @Test("a candidate that is as good passes, one that is worse does not, and the reason has the numbers")
    func champion() {
        let policy = PromotionPolicy()
        let same = PromotionGate.judge(Self.holdout(lift: 1.5, champion: 1.4), policy: policy)
        #expect(same.verdict == .promoted, "\(same.reason)")
        #expect(same.comparedWith == "champion")
        #expect(same.comparisons.map(\.metric) == PromotionMetric.allCases)
        let worse = PromotionGate.judge(Self.holdout(lift: 0.8, champion: 1.5), policy: policy)
        #expect(worse.verdict == .rejected)
        #expect(worse.reason.contains("not worse by more than 0.01 is asked for"), "\(worse.reason)")
        let superior = PromotionGate.judge(
            Self.holdout(lift: 1.5, champion: 1.5), policy: PromotionPolicy(superior: true))
        #expect(superior.verdict == .rejected)
        for metric in [PromotionMetric.logLoss, .accuracy] {
            let policy = PromotionPolicy(metric: metric, margin: 0.02)
            #expect(PromotionGate.judge(Self.holdout(lift: 2.5, champion: 1), policy: policy).verdict == .promoted)
            #expect(PromotionGate.judge(Self.holdout(lift: 0, champion: 2.5), policy: policy).verdict == .rejected)
        }
    }

    @Test("identical scores are not worse, with a bound of exactly zero")
    func identical() {
        var holdout = Self.holdout(lift: 1, champion: 1)
        holdout.champion = holdout.candidate
        let judgement = PromotionGate.judge(holdout, policy: PromotionPolicy())
        #expect(judgement.verdict == .promoted)
        #expect(judgement.decisive?.lowerBound == 0)
        #expect(judgement.decisive?.upperBound == 0)
    }

    @Test("a first model must beat the constant prediction, or what is asked for, and the reason says so")
    func first() {
        let good = PromotionGate.judge(Self.holdout(lift: 1.5, champion: nil), policy: PromotionPolicy())
        #expect(good.verdict == .promoted)
        #expect(good.reason.contains("first model") && good.reason.contains("constant prediction"), "\(good.reason)")
        #expect(good.decisive?.other == 0.5)
        let noise = PromotionGate.judge(Self.holdout(lift: 0, champion: nil), policy: PromotionPolicy())
        #expect(noise.verdict == .rejected)
        let low = PromotionGate.judge(Self.holdout(lift: 1, champion: nil), policy: PromotionPolicy(atLeast: 0.95))
        #expect(low.verdict == .rejected)
        #expect(low.reason.contains("0.95"))
        let loss = PromotionPolicy(metric: .logLoss)
        #expect(PromotionGate.judge(Self.holdout(lift: 0, champion: nil), policy: loss).verdict == .rejected)
    }

    @Test("small losses cannot add up: the best champion of 90 days stands behind the champion")
    func best() {
        let holdout = Self.holdout(count: 4_000, lift: 1.2, champion: 1.2, best: 2)
        let judgement = PromotionGate.judge(holdout, policy: PromotionPolicy())
        #expect(judgement.verdict == .rejected)
        #expect(judgement.reason.contains("best champion of 90 days"), "\(judgement.reason)")
    }

    @Test("a slice that is surely worse blocks, and a small one is not judged")
    func slices() {
        var holdout = Self.holdout(count: 4_000, lift: 2.5, champion: 1.2)
        let group = holdout.entities.indices.map { $0 % 8 == 0 ? "odd" : $0 < 40 ? "tiny" : "main" }
        for index in group.indices where group[index] == "odd" {
            holdout.candidate[index] = 1 - holdout.candidate[index]
        }
        holdout.slices = ["contract": group]
        let judgement = PromotionGate.judge(holdout, policy: PromotionPolicy(margin: 0.2, sliceMargin: 0.05))
        #expect(judgement.slices.map(\.value) == ["main", "odd", "tiny"])
        #expect(judgement.slices.map(\.verdict) == ["passed", "blocks", "not judged"])
        #expect(judgement.verdict == .rejected)
        #expect(judgement.reason.contains("where contract is odd"), "\(judgement.reason)")
    }

    @Test("too few entities of a class cannot be judged, however many rows they have")
    func few() {
        let many = Self.holdout(count: 2_000, lift: 2, champion: 1, rowsPerEntity: 50)
        let judgement = PromotionGate.judge(many, policy: PromotionPolicy())
        #expect(judgement.verdict == .cannotJudge)
        #expect(judgement.entities == 40)
        #expect(judgement.reason.contains("at least 50"))
        var one = Self.holdout(lift: 2, champion: 1)
        one.labels = one.labels.map { _ in true }
        #expect(PromotionGate.judge(one, policy: PromotionPolicy()).verdict == .cannotJudge)
        let none = ScoredHoldout(entities: [], labels: [], candidate: [])
        #expect(PromotionGate.judge(none, policy: PromotionPolicy()).verdict == .cannotJudge)
    }

    @Test("scores that are no numbers are refused; a champion's count as the constant prediction")
    func notNumbers() {
        var holdout = Self.holdout(lift: 2, champion: 2)
        holdout.champion = holdout.champion?.map { _ in .nan }
        #expect(PromotionGate.judge(holdout, policy: PromotionPolicy()).verdict == .promoted)
        holdout.candidate[7] = .nan
        let judgement = PromotionGate.judge(holdout, policy: PromotionPolicy())
        #expect(judgement.verdict == .rejected)
        #expect(judgement.reason.contains("1 of 1200 scores"))
    }

    @Test("the champion's own package is unchanged, a barred one rejected")
    func standing() {
        let holdout = Self.holdout(lift: 1, champion: 1)
        #expect(PromotionGate.judge(holdout, standing: .isChampion, policy: PromotionPolicy()).verdict == .unchanged)
        let barred = PromotionGate.judge(holdout, standing: .barred(reason: "harm"), policy: PromotionPolicy())
        #expect(barred.verdict == .rejected)
        #expect(barred.reason.contains("harm"))
    }

    @Test("a model that is worse by exactly the margin passes no more often than 5 in 100")
    func errorRate() {
        // The margin is set to the true difference, estimated once on a very large holdout.
        let large = Self.holdout(count: 200_000, lift: 1.3, champion: 1.5, seed: 99)
        let truth =
            ScoreMetric.value(.rocAUC, labels: large.labels, scores: large.champion ?? [])
            - ScoreMetric.value(.rocAUC, labels: large.labels, scores: large.candidate)
        let passed = (0..<400).count { seed in
            let holdout = Self.holdout(count: 500, lift: 1.3, champion: 1.5, seed: UInt64(seed) + 1_000)
            let result = DeLong.compare(
                labels: holdout.labels, entities: Array(0..<500), candidate: holdout.candidate,
                other: holdout.champion ?? [])
            return result.candidate - result.other - 1.6449 * result.variance.squareRoot() > -truth
        }
        // 20 are expected of 400; more than 36 has a chance below 0.1 %.
        #expect(passed <= 36, "\(passed)")
    }
}
