import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore

/// Looks at a rollout when no window makes anybody look: bake time over, gateways silent or unable to serve the canary,
/// the step's or the hold's time up. One job a rollout, due again and again until the rollout ends.
struct LookAtRollout: JobRunner {
    static let kind: JobKind = "rollout-look"
    /// A canary that nobody looks at would stay for ever: a look is short, comes before all else, and is never given up.
    static let policy = JobPolicy(timeout: .seconds(60), triesMax: .max, backOffMax: .seconds(10))
    /// Deleted in some 100 ms, so that nothing waits long for the job's row.
    static let unitsPerTransactionMax = 20_000

    struct Arguments: Codable, Sendable {
        let rollout: Int
    }

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let next = try await lease.transaction { work in
            try await Self.look(at: job.arguments.rollout, in: work)
        }
        if let next { return try await lease.postpone(.seconds(next)) }
        // A day's step may have seen a million units; nobody needs them any more.
        while try await lease.transaction({ work in
            try await RolloutEvidence.forgetUnits(
                of: job.arguments.rollout, limit: Self.unitsPerTransactionMax, in: work.transaction)
        }) == Self.unitsPerTransactionMax { lease.report("forgetting units") }
        try await lease.settle { _ in }
    }

    /// Files the job of a rollout that has just begun.
    static func file(for rollout: Int, policy: RolloutPolicy, in work: borrowing Work) async throws {
        let about = "rollout/\(rollout)"
        try await work.file(
            kind, key: about, about: about, arguments: Arguments(rollout: rollout),
            after: .seconds(min(1, policy.telemetryIntervalSeconds)), priority: .rollback)
    }

    /// Decides, and returns the seconds until the next look; nil when the rollout has ended.
    private static func look(at id: Int, in work: borrowing Work) async throws -> Double? {
        guard let rollout = try await Rollouts.find(id, in: work.transaction),
            rollout.state == .running || rollout.state == .held
        else { return nil }
        let evidence = try await RolloutEvidence.current(of: id, step: rollout.step, in: work.transaction)
        // After a time without a worker the gateways' windows wait unread; to take that for silence would be wrong.
        let wasAway = try await Rollouts.wasAway(
            id, seconds: awaySeconds(rollout.policy), in: work.transaction)
        if wasAway {
            try await Rollouts.look(
                id, isHeard: true, verdict: rollout.verdict, reason: "nobody looked for a while; waiting for windows",
                awaySeconds: awaySeconds(rollout.policy), in: work.transaction)
        } else {
            try await RolloutCourse.decide(rollout, evidence, isHeard: false, in: work)
        }
        return delay(rollout)
    }

    /// Longer than this without a look, and the worker was away.
    static func awaySeconds(_ policy: RolloutPolicy) -> Double { 2 * policy.telemetryIntervalSeconds + 5 }

    /// Until the next moment at which something may be due, at most one telemetry interval.
    private static func delay(_ rollout: Rollout) -> Double {
        let policy = rollout.policy
        let moments = [
            policy.bake(at: rollout.step) - rollout.secondsInStep,
            policy.maxStepSeconds - rollout.secondsInStep,
            3 * policy.telemetryIntervalSeconds - rollout.secondsSinceTelemetry,
            policy.telemetryLostSeconds - rollout.secondsSinceTelemetry,
            policy.holdSeconds - (rollout.secondsHeld ?? 0),
        ]
        let next = moments.filter { $0 > 0 }.min() ?? policy.telemetryIntervalSeconds
        return max(0.2, min(next, policy.telemetryIntervalSeconds))
    }
}
