// Claims due jobs, keeps their leases alive while they run, and sees that each ends one way or another.

import Foundation
import Logging
import NauraEvents
import NauraFailpoints
import NauraLedger
import NauraPostgres
import ServiceLifecycle

/// Limits of the lease runners.
struct RunnerSettings: Sendable {
    /// Jobs this process does at once.
    var jobsMax = 2
    /// A runner that is silent for so long has lost its job. Renewed at a third of it.
    var leaseSeconds = 6.0
    /// Failed tries of one job before it fails for good.
    var triesMax = 5
}

/// Runs the jobs of a worker's kinds, several at once, until it is told to stop.
struct RunnerLoop: Service {
    let instance: String
    let runners: [any RunnerHandling]
    let database: Database
    let wakeups: Wakeups
    let metrics: Metrics
    let logger: Logger
    let settings: RunnerSettings

    private var kinds: [JobKind] { runners.map(\.kind) }

    func run() async throws {
        await withDiscardingTaskGroup { group in
            for slot in 0..<settings.jobsMax {
                let wake = wakeups.subscribe(to: ["naura_job"], payloads: Set(kinds.map(\.rawValue)))
                group.addTask { await work(slot: slot, wake: wake) }
            }
        }
    }

    private func work(slot: Int, wake: Signal) async {
        while !Task.isCancelled && !Task.isShuttingDownGracefully {
            do {
                Failpoint.jobClaiming.reach()
                let claimed = try await Jobs.claim(
                    kinds: kinds, owner: instance, leaseSeconds: settings.leaseSeconds, in: database)
                if let claimed {
                    Failpoint.jobClaimed.reach()
                    try await run(claimed)
                } else {
                    try await waitForNext(wake)
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
    private func waitForNext(_ wake: Signal) async throws {
        let seconds = try await Jobs.secondsUntilNext(kinds: kinds, in: database) ?? 60
        guard seconds < 1 else { return await wake.waitWhileRunning() }
        // Due within the tick's second: a job that waits for its key's earlier one is due already, hence the floor.
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
        let lease = Lease(job, database: database)
        do {
            if job.deaths > Attempts.deathsMax {
                throw Rejection("\(job.deaths) runners in a row died with this job open", code: "killed-worker")
            }
            try await keepAlive(lease, logger: logger) { try await runner.run(job, under: lease) }
            guard !lease.isOpen else {
                throw Rejection("the runner of \(job.kind) ended without settling its job", code: "not-settled")
            }
            metrics.count("naura_jobs_done_total", ["kind": "\(job.kind)"])
        } catch {
            guard lease.isOpen else {
                // Settled, and failed after that: the job is done all the same.
                return logger.warning("a settled job's runner failed", metadata: ["error": "\(error)"])
            }
            try await giveBack(job, after: error, logger: logger)
        }
    }

    /// Runs `body` beside a heartbeat; a lost lease cancels it.
    private func keepAlive(
        _ lease: Lease, logger: Logger, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await body()
                return true
            }
            group.addTask { [settings, database] in
                while true {
                    try await Task.sleep(for: .seconds(settings.leaseSeconds / 3))
                    Failpoint.jobRenewing.reach()
                    do {
                        let isOurs = try await Jobs.renew(
                            lease.job, leaseSeconds: settings.leaseSeconds, progress: lease.progress, in: database)
                        Failpoint.jobRenewed.reach()
                        guard isOurs || !lease.isOpen else {
                            throw LedgerError(.leaseLost, "job \(lease.job.id) (\(lease.job.kind))")
                        }
                    } catch let error as PostgresError where error.isTransient {
                        logger.warning("the lease could not be renewed", metadata: ["error": "\(error)"])
                    }
                }
            }
            defer { group.cancelAll() }
            while let isBody = try await group.next(), !isBody {}
        }
    }

    private func giveBack(_ job: ClaimedJob, after error: any Error, logger: Logger) async throws {
        if let refusal = LedgerError.refusal(in: error), refusal.code == .leaseLost {
            metrics.count("naura_zombie_writes_refused_total", ["stage": "\(job.kind)"])
            return logger.warning("another runner has the job", metadata: ["error": "\(error)"])
        }
        if error is CancellationError || Task.isCancelled {
            // The worker stops: another may start at once. Run in a task of its own, since this one is cancelled.
            let handing = Task { [database] in
                try await database.transaction { transaction in
                    try await Jobs.postpone(job, seconds: 0, isTry: false, in: transaction)
                    try await transaction.notify("naura_job", job.kind.rawValue)
                    Failpoint.jobHandingBack.reach()
                }
            }
            try await handing.value
            throw CancellationError()
        }
        let isFinal = error is Rejection || job.tries + 1 >= settings.triesMax
        if case .transient = Failure(error) {
            logger.warning("a job waits for database or broker", metadata: ["error": "\(error)"])
            try await database.waitUntilAvailable()
            return try await database.transaction { transaction in
                try await Jobs.postpone(job, seconds: 0.5, isTry: false, in: transaction)
                Failpoint.jobPostponing.reach()
            }
        }
        metrics.count("naura_jobs_failed_total", ["kind": "\(job.kind)"])
        guard isFinal else {
            logger.warning("a job failed and is tried again", metadata: ["error": "\(error)"])
            return try await database.transaction { transaction in
                try await Jobs.postpone(
                    job, seconds: pow(2, Double(job.tries)), isTry: true, failure: "\(error)", in: transaction)
                Failpoint.jobPostponing.reach()
            }
        }
        try await bury(job, after: error, logger: logger)
    }

    private func bury(_ job: ClaimedJob, after error: any Error, logger: Logger) async throws {
        let (code, message) =
            if let rejection = error as? Rejection { (rejection.code, rejection.message) } else {
                ("failed", "\(error)")
            }
        logger.error("a job failed for good", metadata: ["code": "\(code)", "reason": "\(message)"])
        let stage = StageName(rawValue: job.kind.rawValue)
        let letter = DeadLetterRow(
            stage: stage, eventID: nil, rootID: job.rootID, key: Array(job.key.utf8),
            headers: [("about", Array(job.about.utf8))], body: Array(job.arguments.utf8), code: code,
            message: message, tries: job.tries + 1)
        try await database.transaction { transaction in
            try await Jobs.fail(job, code: code, message: message, in: transaction)
            let batch = Batch(transaction: transaction)
            if let filed = try await DeadLetters.file(letter, in: transaction) {
                try await Work(batch, of: job).emit(DeadLetter(letter), about: filed.about(job.about))
            }
            try await batch.flushShared()
            try await transaction.notify("naura_job", job.kind.rawValue)
            Failpoint.jobFailing.reach()
        }
        Failpoint.jobFailed.reach()
        metrics.count("naura_dead_letters_total", ["stage": "\(job.kind)", "code": code])
    }
}
