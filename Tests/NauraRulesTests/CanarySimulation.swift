import Foundation

@testable import NauraRules

/// Whole rollouts under made-up traffic, decided by ``CanaryRule`` as the worker decides them.
struct CanarySimulation {
    /// How bad events come.
    enum Traffic: String, CaseIterable {
        case steady
        /// The rate swings by 80 % with a period of 20,000 requests.
        case dailySwing = "daily swing"
        /// Both arms fail together, at 30 %, in 2 % of the time.
        case sharedOutage = "shared outage"
        /// 20,000 customers who come again and again; a broken one is broken each time.
        case clusteredCustomers = "clustered customers"
        /// Bad events are told five looks later than their units, so after a step by an older weight.
        case lateMetrics = "late metrics"
        /// Each batch is told twice.
        case duplicateBatches = "duplicate batches"
    }

    enum Outcome { case promoted, rolledBack, held }

    struct Result {
        let outcome: Outcome
        let requests: Int
    }

    /// One bad event as a gateway tells it.
    private struct Bad {
        let unit: Int
        let isCanary: Bool
        let weight: Double
        let step: Int
    }

    let baselineRate: Double
    let ratio: Double
    let traffic: Traffic
    let requestsPerLook: Int
    let requestsMax: Int
    let policy: RolloutPolicy

    init(
        baselineRate: Double, ratio: Double, traffic: Traffic, requestsPerLook: Int = 200, requestsMax: Int = 250_000,
        policy: RolloutPolicy = RolloutPolicy()
    ) {
        self.baselineRate = baselineRate
        self.ratio = ratio
        self.traffic = traffic
        self.requestsPerLook = requestsPerLook
        self.requestsMax = requestsMax
        self.policy = policy
    }

    /// Whether going on to everyone would be wrong: the true rates are outside the margins, or on their edge.
    var isOutsideMargins: Bool {
        let canary = min(1, baselineRate * ratio)
        return canary >= max(policy.errorRatio * baselineRate, baselineRate + policy.errorMargin) - 1e-12
    }

    func run(seed: UInt64) -> Result {
        var run = Run(self, seed: seed)
        return run.run()
    }

    /// One rollout.
    private struct Run {
        let world: CanarySimulation
        var random: SplitMix64
        var evidence = CanaryEvidence()
        var step = 0
        var requests = 0
        var nextUnit = 0
        var waiting: [[Bad]] = []
        var seenBad: Set<Int> = []
        var stepBad: Set<Int> = []
        var customers: [Customer] = []

        struct Customer {
            let place: Double
            let isBroken: Bool
            let isBrokenByCanary: Bool
            var seenAtStep = -1
        }

        init(_ world: CanarySimulation, seed: UInt64) {
            self.world = world
            random = SplitMix64(seed: seed)
            if world.traffic == .clusteredCustomers {
                customers = (0..<20_000).map { _ in
                    let place = random.nextUnit()
                    let luck = random.nextUnit()
                    return Customer(
                        place: place, isBroken: luck < world.baselineRate,
                        isBrokenByCanary: luck < min(1, world.baselineRate * world.ratio))
                }
            }
        }

        mutating func run() -> Result {
            while requests < world.requestsMax {
                requests += world.requestsPerLook
                waiting.append(customers.isEmpty ? visits() : customerVisits())
                let isLate = world.traffic == .lateMetrics
                if !isLate || waiting.count > 5 {
                    let batch = waiting.removeFirst()
                    take(batch)
                    if world.traffic == .duplicateBatches { take(batch) }
                }
                let clean = CanaryEvidence(
                    canaryUnits: evidence.canaryUnits, baselineUnits: evidence.baselineUnits)
                let verdict = CanaryRule.judge(
                    CanarySituation(
                        step: step, weight: world.policy.weight(at: step), evidence: [.error: evidence, .slow: clean],
                        secondsInStep: 1e5, secondsSinceTelemetry: 0),
                    policy: world.policy)
                switch verdict.action {
                case .rollBack, .rollBackAndBar: return Result(outcome: .rolledBack, requests: requests)
                case .advance:
                    step += 1
                    evidence.startStep()
                    stepBad = []
                    if world.policy.weight(at: step) >= 1 { return Result(outcome: .promoted, requests: requests) }
                case .wait, .hold: break
                }
            }
            return Result(outcome: .held, requests: requests)
        }

        /// Units that come once, each bad with its arm's rate.
        private mutating func visits() -> [Bad] {
            let weight = world.policy.weight(at: step)
            let canary = draw(world.requestsPerLook, weight)
            evidence.canaryUnits += canary
            evidence.baselineUnits += world.requestsPerLook - canary
            let rate = rate()
            let canaryBad = draw(canary, min(1, rate.isShared ? rate.value : rate.value * world.ratio))
            let baselineBad = draw(world.requestsPerLook - canary, rate.value)
            return (0..<canaryBad + baselineBad).map { index in
                nextUnit += 1
                return Bad(unit: nextUnit, isCanary: index < canaryBad, weight: weight, step: step)
            }
        }

        private mutating func customerVisits() -> [Bad] {
            let weight = world.policy.weight(at: step)
            var bad: [Bad] = []
            for _ in 0..<world.requestsPerLook {
                let index = random.nextIndex(below: customers.count)
                let isCanary = customers[index].place < weight
                if customers[index].seenAtStep != step {
                    customers[index].seenAtStep = step
                    if isCanary { evidence.canaryUnits += 1 } else { evidence.baselineUnits += 1 }
                }
                if isCanary ? customers[index].isBrokenByCanary : customers[index].isBroken {
                    bad.append(Bad(unit: index, isCanary: isCanary, weight: weight, step: step))
                }
            }
            return bad
        }

        /// Counts each unit's first bad event: once for harm, and once a step for the bounds.
        private mutating func take(_ batch: [Bad]) {
            for bad in batch {
                if seenBad.insert(bad.unit).inserted { evidence.harm.add(isCanary: bad.isCanary, weight: bad.weight) }
                guard bad.step == step, stepBad.insert(bad.unit).inserted else { continue }
                if bad.isCanary { evidence.canaryBad += 1 } else { evidence.baselineBad += 1 }
            }
        }

        private mutating func rate() -> (value: Double, isShared: Bool) {
            switch world.traffic {
            case .dailySwing:
                let phase = Double(requests % 20_000) / 20_000 * 2 * Double.pi
                return (min(1, world.baselineRate * (1 + 0.8 * sin(phase))), false)
            case .sharedOutage where random.nextUnit() < 0.02: return (0.3, true)
            default: return (world.baselineRate, false)
            }
        }

        /// A binomial draw, by the gaps between successes: few steps for small chances.
        private mutating func draw(_ count: Int, _ share: Double) -> Int {
            if share <= 0 { return 0 }
            if share >= 1 { return count }
            let scale = 1 / log1p(-share)
            var successes = 0
            var place = -1
            while true {
                let gap = log(1 - random.nextUnit()) * scale
                if gap >= Double(count) { return successes }
                place += Int(gap) + 1
                if place >= count { return successes }
                successes += 1
            }
        }
    }
}
