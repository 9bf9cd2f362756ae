// Claims due jobs and has them done, several at once, until the worker is told to stop.

import Foundation
import Logging
import NauraEvents
import NauraFailpoints
import NauraLedger
import NauraPostgres
import ServiceLifecycle

/// Limits of the lease runners.
struct RunnerSettings: Sendable {
    /// Jobs this process does at once, and one more of those that take something back.
    var jobsMax = 2
    /// A runner that is silent for so long has lost its job. Renewed at a third of it.
    var leaseSeconds = 6.0
    /// How long a runner may take to end after it was told to; then its slot goes to the next job.
    var grace: Duration = .seconds(3)
    /// What the environment says in place of a kind's own policy.
    var overrides = PolicyOverrides()
}

/// A process' limits, in place of those that its kinds of jobs were written with.
struct PolicyOverrides: Sendable {
    var timeout: Duration?
    var triesMax: Int?
    var backOffMax: Duration?

    func applied(to policy: JobPolicy) -> JobPolicy {
        var policy = policy
        policy.timeout = timeout ?? policy.timeout
        policy.triesMax = triesMax ?? policy.triesMax
        policy.backOffMax = max(backOffMax ?? policy.backOffMax, policy.backOffFirst)
        return policy
    }
}

/// Runs the jobs of a worker's kinds.
///
/// `jobsMax` slots take what ``Jobs/claim(kinds:owner:leaseSeconds:priorityMin:in:)`` gives them. One more takes only
/// jobs of the priority ``JobPriority/rollback``: it is free when all others are busy with what takes hours, so that
/// taking back never waits. It also ends what people have cancelled and nobody holds.
struct RunnerLoop: Service {
    let instance: String
    let runners: [any RunnerHandling]
    let database: Database
    let wakeups: Wakeups
    let metrics: Metrics
    let logger: Logger
    let settings: RunnerSettings
    var tracer: Tracer?

    private enum Slot { case ordinary, reserved }

    private var kinds: [JobKind] { runners.map(\.kind) }
    private var ending: JobEnding {
        JobEnding(database: database, metrics: metrics, overrides: settings.overrides, tracer: tracer)
    }

    func run() async throws {
        let payloads = Set(kinds.map(\.rawValue))
        await withDiscardingTaskGroup { group in
            for slot in Array(repeating: Slot.ordinary, count: settings.jobsMax) + [.reserved] {
                let wake = wakeups.subscribe(to: ["naura_job"], payloads: payloads)
                group.addTask { await work(slot, wake: wake) }
            }
        }
    }

    private func work(_ slot: Slot, wake: Signal) async {
        while !Task.isCancelled && !Task.isShuttingDownGracefully {
            do {
                if slot == .reserved, try await ending.endCancelled(of: runners, logger: logger) { continue }
                Failpoint.jobClaiming.reach()
                let claimed = try await Jobs.claim(
                    kinds: kinds, owner: instance, leaseSeconds: settings.leaseSeconds,
                    priorityMin: slot == .reserved ? .rollback : nil, in: database)
                if let claimed {
                    Failpoint.jobClaimed.reach()
                    try await run(claimed)
                } else {
                    try await waitForNext(slot, wake)
                }
            } catch is CancellationError {
                return
            } catch {
                logger.warning("a runner waits for the database", metadata: ["error": "\(error)"])
                await wake.waitWhileRunning()
            }
        }
    }

    /// Waits for a notification, the tick, or the moment at which the next job becomes due.
    private func waitForNext(_ slot: Slot, _ wake: Signal) async throws {
        // What is urgent is filed due at once, or waits for its next look, which may come a tick late.
        guard slot == .ordinary else { return await wake.waitWhileRunning() }
        let seconds = try await Jobs.secondsUntilNext(kinds: kinds, in: database) ?? 60
        guard seconds < 1 else { return await wake.waitWhileRunning() }
        // The floor: another runner is taking the job that is due.
        let alarm = Task { [delay = max(seconds, 0.02)] in
            try await Task.sleep(for: .seconds(delay))
            wake.send()
        }
        await wake.waitWhileRunning()
        alarm.cancel()
    }

    // MARK: - One job

    private func run(_ job: ClaimedJob) async throws {
        let logger = logger.with(
            ["job": "\(job.kind) \(job.about)", "event": "\(job.causeID?.rawValue ?? "none")"])
        guard let runner = runners.first(where: { $0.kind == job.kind }) else { return }
        let lease = Lease(job, database: database, tracer: tracer)
        let watch = JobWatch(
            database: database, wakeups: wakeups, metrics: metrics, leaseSeconds: settings.leaseSeconds,
            grace: settings.grace)
        let began = Date()
        do {
            if job.deaths > Attempts.deathsMax {
                throw Rejection("\(job.deaths) runners in a row died with this job open", code: "killed-worker")
            }
            let policy = settings.overrides.applied(to: runner.policy)
            try await watch.watch(lease, policy: policy, logger: logger) { try await runner.run(job, under: lease) }
            guard !lease.isOpen else {
                throw Rejection("the runner of \(job.kind) ended without settling its job", code: "not-settled")
            }
            metrics.count("naura_jobs_done_total", ["kind": "\(job.kind)"])
            if !lease.wasIdle { tracer?.record([Span.job(job, start: began)]) }
        } catch {
            tracer?.record([Span.job(job, start: began, failure: "\(error)")])
            guard lease.isOpen else {
                // Settled, and failed after that: the job is done all the same.
                return logger.warning("a settled job's runner failed", metadata: ["error": "\(error)"])
            }
            try await ending.giveBack(job, of: runner, after: error, logger: logger)
        }
    }
}
