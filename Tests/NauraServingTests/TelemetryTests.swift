import Foundation
import NauraEvents
import Testing

@testable import NauraServing

@Suite("Telemetry")
struct TelemetryTests {
    private func append(_ log: PredictionLog, _ records: [String]) -> Bool {
        let bytes = records.flatMap { Array($0.utf8) }
        var ends: [Int] = []
        for record in records { ends.append((ends.last ?? 0) + record.utf8.count) }
        return bytes.withUnsafeBufferPointer { bytes in
            ends.withUnsafeBufferPointer { ends in log.append(bytes, ends: ends) }
        }
    }

    @Test("a batch is closed at 500 answers, and numbers follow without gaps")
    func batches() throws {
        let budget = RecordBudget(bytesMax: 1 << 20)
        let log = PredictionLog(model: "churn", budget: budget)
        var isFull = false
        for number in 0..<1_001 { isFull = append(log, ["{\"n\":\(number)}"]) || isFull }
        #expect(isFull)
        let batches = log.drain()
        #expect(batches.map(\.count) == [500, 500, 1])
        #expect(batches.map(\.number) == [1, 2, 3])
        for batch in batches {
            let object = try JSONSerialization.jsonObject(with: Data(batch.body)) as? [String: Any]
            #expect((object?["items"] as? [Any])?.count == batch.count)
        }
        #expect(budget.pendingBytes == 0)
        #expect(log.drain().isEmpty)
    }

    @Test("records beyond the budget are dropped and counted, and the rest goes on")
    func budget() {
        let budget = RecordBudget(bytesMax: 25)
        let log = PredictionLog(model: "churn", budget: budget)
        _ = append(log, ["{\"n\":100000}", "{\"n\":200000}", "{\"n\":300000}"])
        #expect(budget.dropped == 1)
        #expect(log.drain().map(\.count) == [2])
        _ = append(log, ["{\"n\":400000}"])
        #expect(log.drain().map(\.count) == [1])
        #expect(budget.dropped == 1)
        #expect(budget.pendingBytes == 0)
    }

    @Test("a large request becomes several events below Kafka's limit")
    func large() {
        let log = PredictionLog(model: "churn", budget: RecordBudget(bytesMax: 64 << 20))
        let record = "{\"x\":\"\(String(repeating: "y", count: 100_000))\"}"
        _ = append(log, Array(repeating: record, count: 20))
        let batches = log.drain()
        #expect(batches.reduce(0) { $0 + $1.count } == 20)
        #expect(batches.allSatisfy { $0.body.count < 600 * 1024 })
    }

    @Test("the quantile's edge is at most an eighth above the true value")
    func quantiles() {
        var histogram = LatencyHistogram()
        for value in 1...10_000 as ClosedRange<UInt64> { histogram.record(nanoseconds: value * 1_000) }
        for (share, truth) in [(0.5, 5_000_000.0), (0.99, 9_900_000), (0.999, 9_990_000)] {
            let found = Double(histogram.quantile(share) ?? 0)
            #expect(found >= truth && found <= truth * 1.126)
        }
        #expect(histogram.count == 10_000)
        #expect(LatencyHistogram().quantile(0.5) == nil)
        #expect(histogram.count(upTo: .max) == 10_000)
    }

    @Test("each bucket begins where the one before ends")
    func buckets() {
        for bucket in 0..<LatencyHistogram.buckets - 1 {
            let edge = LatencyHistogram.upperEdge(bucket)
            #expect(LatencyHistogram.bucket(edge - 1) == bucket)
            #expect(LatencyHistogram.bucket(edge) == bucket + 1)
        }
        #expect(LatencyHistogram.bucket(0) == 0)
        #expect(LatencyHistogram.bucket(.max) == LatencyHistogram.buckets - 1)
    }

    private func observer(slow: Double? = 0.1) -> CanaryObserver {
        CanaryObserver(epoch: 4, weight: 0.5, rollout: 2, canaryVersion: 9, slow: SlowThreshold(seconds: slow))
    }

    @Test("a unit is new once a step, and its first bad answer is told once for each metric")
    func firsts() {
        let observer = observer()
        let unit = Split.Place(value: 0xAB)
        #expect(!observer.record(.canary, unit, nanoseconds: 1_000, isError: false))
        #expect(observer.record(.canary, unit, nanoseconds: 1_000, isError: true))
        #expect(!observer.record(.canary, unit, nanoseconds: 1_000, isError: true))
        #expect(observer.record(.canary, unit, nanoseconds: 200_000_000, isError: false))
        let (champion, canary) = observer.drain()
        #expect(champion.isEmpty)
        #expect(canary.requests == 4)
        #expect(canary.fresh == [0xAB])
        #expect(canary.firstBad.map(\.metric) == [.error, .slow])
        #expect(canary.firstBad.map(\.unit) == ["00000000000000ab", "00000000000000ab"])
        _ = observer.record(.canary, unit, nanoseconds: 1, isError: true)
        let again = observer.drain().canary
        #expect(again.requests == 1 && again.fresh.isEmpty && again.firstBad.isEmpty)
    }

    @Test("a bad answer of the champion is counted, and makes nobody hurry")
    func championBad() {
        let observer = observer()
        #expect(!observer.record(.champion, .init(value: 1), nanoseconds: 1, isError: true))
        #expect(observer.drain().champion.firstBad.count == 1)
    }

    @Test("without a threshold in the rules, the champion's 99th percentile makes one, and it stays")
    func threshold() {
        let slow = SlowThreshold(seconds: nil)
        #expect(slow.nanoseconds == nil)
        for _ in 0..<499 { #expect(!slow.isSlow(20_000_000, arm: .champion)) }
        #expect(!slow.isSlow(10_000_000_000, arm: .canary))
        #expect(slow.nanoseconds == nil)
        _ = slow.isSlow(20_000_000, arm: .champion)
        let frozen = slow.nanoseconds ?? 0
        #expect(frozen > 20_000_000 && frozen < 30_000_000)
        for _ in 0..<2_000 { _ = slow.isSlow(1_000_000_000, arm: .champion) }
        #expect(slow.nanoseconds == frozen)
        #expect(slow.isSlow(frozen + 1, arm: .canary))
    }

    @Test("windows are numbered without gaps over routes, and one is sent each second though nothing came")
    func windows() {
        let telemetry = ModelTelemetry(model: "churn", budget: RecordBudget(bytesMax: 1))
        let start = ContinuousClock.now
        func windows(_ seconds: Double) -> [ServingWindow] {
            telemetry.windows(gateway: "g", boot: "b", now: start + .seconds(seconds), at: Date())
        }
        #expect(windows(0).isEmpty)
        let first = telemetry.observer(epoch: 4, now: start) { observer() }
        #expect(windows(0).map(\.number) == [1])
        #expect(windows(0.5).isEmpty)
        #expect(windows(1.1).map(\.number) == [2])
        #expect(telemetry.observer(epoch: 4, now: start) { observer() } === first)
        let second = telemetry.observer(epoch: 5, now: start + .seconds(2)) {
            CanaryObserver(epoch: 5, weight: 0.9, rollout: 2, canaryVersion: 9, slow: SlowThreshold(seconds: 1))
        }
        // A request that began under the first route ends now.
        _ = first?.record(.champion, .init(value: 1), nanoseconds: 1, isError: false)
        _ = second?.record(.canary, .init(value: 1), nanoseconds: 1, isError: false)
        let both = windows(2.1)
        #expect(both.map(\.number) == [3, 4])
        #expect(both.map(\.epoch) == [4, 5])
        #expect(both.map(\.weight) == [0.5, 0.9])
        #expect(both.allSatisfy { $0.isWellFormed })
    }
}
