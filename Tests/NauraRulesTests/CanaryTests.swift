import Foundation
import Testing

@testable import NauraRules

@Suite("The canary rule")
struct CanaryTests {
    struct Vectors: Decodable {
        struct Event: Decodable {
            let weight: Double
            let isCanary: Bool
        }
        struct Stream: Decodable {
            let events: [Event]
            let logValue: Double
        }
        struct Bound: Decodable {
            let units: Int
            let bad: Int
            let level: Double
            let upper: Double
            let lower: Double
        }
        let streams: [Stream]
        let bounds: [Bound]
    }

    static func vectors() throws -> Vectors {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/canary-vectors.json")
        return try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: file))
    }

    @Test("fifty event streams give the evidence that a second implementation gives, to 1e-9")
    func golden() throws {
        let vectors = try Self.vectors()
        #expect(vectors.streams.count == 50)
        for stream in vectors.streams {
            var harm = HarmEvidence()
            for event in stream.events { harm.add(isCanary: event.isCanary, weight: event.weight) }
            #expect(abs(harm.logValue - stream.logValue) < 1e-9)
        }
        for bound in vectors.bounds {
            let upper = ConfidenceSequence.upper(bad: bound.bad, of: bound.units, level: bound.level)
            let lower = ConfidenceSequence.lower(bad: bound.bad, of: bound.units, level: bound.level)
            #expect(abs(upper - bound.upper) < 1e-9, "\(bound): \(upper)")
            #expect(abs(lower - bound.lower) < 1e-9, "\(bound): \(lower)")
        }
    }

    @Test("the order of events does not matter, nor how many workers add them up, nor storing them in between")
    func order() throws {
        for stream in try Self.vectors().streams {
            var parts = [HarmEvidence(), HarmEvidence(), HarmEvidence()]
            for (index, event) in stream.events.reversed().enumerated() {
                parts[index % 3].add(isCanary: event.isCanary, weight: event.weight)
            }
            var whole = parts[2]
            whole.add(parts[0])
            whole.add(parts[1])
            let stored = try HarmEvidence(logTerms: whole.logTerms)
            #expect(abs(stored.logValue - stream.logValue) < 1e-9)
        }
        #expect(throws: RulesError.self) { try HarmEvidence(logTerms: [0]) }
    }

    /// The bad canary units in a row, none of the champion's, that take the canary back at `weight`.
    private func unitsToRollBack(_ weight: Double) -> Int {
        var situation = CanarySituation(
            step: 0, weight: weight, evidence: [:], secondsInStep: 1, secondsSinceTelemetry: 0)
        var evidence = CanaryEvidence()
        for count in 1...20 {
            evidence.harm.add(isCanary: true, weight: weight)
            situation.evidence[.error] = evidence
            let verdict = CanaryRule.judge(situation, policy: RolloutPolicy())
            if verdict.action == .rollBackAndBar { return count }
        }
        return 0
    }

    @Test("three bad canary units decide at 5 %, five at 25 %")
    func fewUnits() {
        #expect(unitsToRollBack(0.05) == 3)
        #expect(unitsToRollBack(0.25) == 5)
    }

    @Test("a healthy canary needs 890 units at half a point")
    func healthy() {
        var situation = CanarySituation(
            step: 0, weight: 0.05, evidence: [:], secondsInStep: 601, secondsSinceTelemetry: 0)
        let policy = RolloutPolicy(slowMargin: 0.005)
        var needed = 0
        for units in stride(from: 700, through: 1_000, by: 10) {
            let evidence = CanaryEvidence(canaryUnits: units, baselineUnits: units * 19)
            situation.evidence = [.error: evidence, .slow: evidence]
            if CanaryRule.judge(situation, policy: policy).action == .advance {
                needed = units
                break
            }
        }
        #expect(needed == 890)
    }

    @Test("a baseline event speaks for the canary, an event at weight 0 or 1 says nothing")
    func direction() {
        var harm = HarmEvidence()
        harm.add(isCanary: true, weight: 1)
        harm.add(isCanary: true, weight: 0)
        #expect(harm.logValue == 0)
        harm.add(isCanary: false, weight: 0.25)
        #expect(harm.logValue < 0)
    }

    private let quiet = CanaryEvidence(canaryUnits: 2_000, canaryBad: 0, baselineUnits: 30_000, baselineBad: 10)

    private func verdict(
        _ evidence: CanaryEvidence? = nil, inStep: Double = 601, silence: Double = 1, held: Double? = nil,
        fault: String? = nil
    ) -> CanaryVerdict {
        let evidence = evidence ?? quiet
        return CanaryRule.judge(
            CanarySituation(
                step: 0, weight: 0.05, evidence: [.error: evidence, .slow: evidence], secondsInStep: inStep,
                secondsSinceTelemetry: silence, secondsHeld: held, fault: fault),
            policy: RolloutPolicy())
    }

    @Test("it goes on only when units, margins and bake time allow, and says what is missing")
    func advance() {
        #expect(verdict().action == .advance)
        #expect(verdict(inStep: 599).word == "bake")
        #expect(verdict(CanaryEvidence(canaryUnits: 700)).word == "units")
        #expect(verdict(CanaryEvidence()).word == "units")
        let doubtful = CanaryEvidence(canaryUnits: 1_000, canaryBad: 5, baselineUnits: 19_000, baselineBad: 19)
        #expect(verdict(doubtful).word == "margin")
        #expect(verdict(doubtful).action == .wait)
    }

    @Test("silence is never a pass: it holds after three intervals, and is taken back after a quarter of an hour")
    func silence() {
        #expect(verdict(silence: 29).action == .advance)
        #expect(verdict(silence: 30).action == .hold)
        #expect(verdict(silence: 30).word == "telemetry-missing")
        #expect(verdict(silence: 900).action == .rollBack)
        // Heard of again, a held rollout goes on.
        #expect(verdict(inStep: 100, silence: 1, held: 50).action == .wait)
    }

    @Test("doubt holds when the step's time is up, and a rollout held for a day is taken back without being barred")
    func hold() {
        let few = CanaryEvidence(canaryUnits: 10)
        #expect(verdict(few, inStep: 86_399).action == .wait)
        #expect(verdict(few, inStep: 86_400).action == .hold)
        #expect(verdict(few, inStep: 90_000, held: 3_600).action == .hold)
        #expect(verdict(few, inStep: 180_000, held: 86_400).action == .rollBack)
        #expect(verdict(inStep: 90_000, held: 3_600).action == .advance)
    }

    @Test("harm and a blown fuse take the canary back at once and bar it, whatever the clock says")
    func harm() {
        var harmful = quiet
        for _ in 0..<3 { harmful.harm.add(isCanary: true, weight: 0.05) }
        for found in [verdict(harmful, inStep: 1), verdict(harmful, silence: 1_000), verdict(harmful, held: 90_000)] {
            #expect(found.action == .rollBackAndBar)
            #expect(found.word == "harm")
        }
        let broken = verdict(fault: "samples answered otherwise")
        #expect(broken.action == .rollBackAndBar)
        #expect(broken.reason.contains("samples answered otherwise"))
    }

    @Test("a verdict passes through JSON with its metrics by name")
    func codable() throws {
        let verdict = verdict()
        let bytes = try JSONEncoder().encode(verdict)
        #expect(try JSONDecoder().decode(CanaryVerdict.self, from: bytes) == verdict)
        #expect(String(decoding: bytes, as: UTF8.self).contains("\"error\":{"))
    }
}
