// What becomes of a job that was not done: tried again, failed for good, or cancelled.

import Foundation
import Logging
import NauraEvents
import NauraFailpoints
import NauraLedger
import NauraPostgres

/// Ends jobs that their runners have not settled, each with what it answered for.
struct JobEnding: Sendable {
    let database: Database
    let metrics: Metrics
    let overrides: PolicyOverrides
    /// Nil while no traces are exported.
    var tracer: Tracer?

    /// Takes the job back from its runner, which `error` has ended.
    func giveBack(
        _ job: ClaimedJob, of runner: any RunnerHandling, after error: any Error, logger: Logger
    ) async throws {
        if let refusal = LedgerError.refusal(in: error), refusal.code == .leaseLost {
            metrics.count("naura_zombie_writes_refused_total", ["stage": "\(job.kind)"])
            return logger.warning("another runner has the job", metadata: ["error": "\(error)"])
        }
        if case .cancelled = error as? JobStop {
            let sheet = tracer.map(SpanSheet.init)
            try await database.transaction { transaction in
                try await cancel(job, of: runner, sheet, logger: logger, in: transaction)
            }
            sheet?.commit()
            return Failpoint.jobCancelled.reach()
        }
        if Task.isCancelled {
            try await handOver(job)
            throw CancellationError()
        }
        if case .transient = Failure(error) {
            logger.warning("a job waits for database or broker", metadata: ["error": "\(error)"])
            try await database.waitUntilAvailable()
            return try await database.transaction { transaction in
                try await Jobs.postpone(job, seconds: 0.5, isTry: false, in: transaction)
                Failpoint.jobPostponing.reach()
            }
        }
        metrics.count("naura_jobs_failed_total", ["kind": "\(job.kind)"])
        let policy = overrides.applied(to: runner.policy)
        guard error is Rejection || job.tries + 1 >= policy.triesMax else {
            let wait = policy.backOff(job: job.id, failures: job.tries + 1)
            logger.warning(
                "a job failed and is tried again", metadata: ["error": "\(error)", "seconds": "\(wait.seconds)"])
            return try await database.transaction { transaction in
                try await Jobs.postpone(
                    job, seconds: wait.seconds, isTry: true, failure: "\(error)", in: transaction)
                Failpoint.jobPostponing.reach()
            }
        }
        try await bury(job, of: runner, as: Self.failure(error), logger: logger)
    }

    /// The worker stops: another may start at once. In a task of its own, since this one is cancelled.
    private func handOver(_ job: ClaimedJob) async throws {
        let handing = Task { [database] in
            try await database.transaction { transaction in
                try await Jobs.postpone(job, seconds: 0, isTry: false, in: transaction)
                try await transaction.notify("naura_job", job.kind.rawValue)
                Failpoint.jobHandingBack.reach()
            }
        }
        try await handing.value
    }

    private static func failure(_ error: any Error) -> JobFailure {
        switch error {
        case let rejection as Rejection: JobFailure(code: rejection.code, message: rejection.message)
        case let stop as JobStop: JobFailure(code: "timed-out", message: "\(stop)")
        default: JobFailure(code: "failed", message: "\(error)")
        }
    }

    // MARK: - For good

    private func bury(
        _ job: ClaimedJob, of runner: any RunnerHandling, as failure: JobFailure, logger: Logger
    ) async throws {
        logger.error(
            "a job failed for good", metadata: ["code": "\(failure.code)", "reason": "\(failure.message)"])
        do {
            try await bury(job, of: runner, as: failure)
        } catch let error where Self.isOfTheHandler(error) {
            // What it answered for cannot be settled; the job must end all the same, or it would fail for ever.
            logger.error("what a failed job answered for stays open", metadata: ["error": "\(error)"])
            try await bury(job, of: nil, as: failure)
        }
        metrics.count("naura_dead_letters_total", ["stage": "\(job.kind)", "code": failure.code])
    }

    private func bury(_ job: ClaimedJob, of runner: (any RunnerHandling)?, as failure: JobFailure) async throws {
        let letter = DeadLetterRow(
            stage: StageName(rawValue: job.kind.rawValue), eventID: nil, rootID: job.rootID, key: Array(job.key.utf8),
            headers: [("about", Array(job.about.utf8))], body: Array(job.arguments.utf8), code: failure.code,
            message: failure.message, tries: job.tries + 1)
        let sheet = tracer.map(SpanSheet.init)
        try await database.transaction { transaction in
            try await Jobs.fail(job, code: failure.code, message: failure.message, in: transaction)
            let batch = Batch(transaction: transaction, sheet: sheet)
            try await runner?.abandon(job, because: failure, in: Work(batch, of: job))
            if let filed = try await DeadLetters.file(letter, in: transaction) {
                try await Work(batch, of: job).emit(DeadLetter(letter), about: filed.about(job.about))
            }
            try await batch.flushShared()
            try await transaction.notify("naura_job", job.kind.rawValue)
            Failpoint.jobFailing.reach()
        }
        Failpoint.jobFailed.reach()
        sheet?.commit()
    }

    /// Whether the runner's own part of an ending failed, and not the database or the lease.
    private static func isOfTheHandler(_ error: any Error) -> Bool {
        if case .event = Failure(error) { return LedgerError.refusal(in: error) == nil }
        return false
    }

    // MARK: - Cancelled

    /// Ends one cancelled job that nobody holds.
    /// - Returns: false when there is none.
    func endCancelled(of runners: [any RunnerHandling], logger: Logger) async throws -> Bool {
        let sheet = tracer.map(SpanSheet.init)
        let isOne = try await database.transaction { transaction in
            guard let job = try await Jobs.nextCancelled(kinds: runners.map(\.kind), in: transaction),
                let runner = runners.first(where: { $0.kind == job.kind })
            else { return false }
            try await cancel(job, of: runner, sheet, logger: logger, in: transaction)
            return true
        }
        sheet?.commit()
        if isOne { Failpoint.jobCancelled.reach() }
        return isOne
    }

    private func cancel(
        _ job: ClaimedJob, of runner: any RunnerHandling, _ sheet: SpanSheet?, logger: Logger,
        in transaction: Transaction
    ) async throws {
        let reason = try await Jobs.endCancelled(job, in: transaction)
        let batch = Batch(transaction: transaction, sheet: sheet)
        try await runner.abandon(
            job, because: JobFailure(code: "cancelled", message: reason), in: Work(batch, of: job))
        try await batch.flushShared()
        try await transaction.notify("naura_job", job.kind.rawValue)
        Failpoint.jobCancelling.reach()
        metrics.count("naura_jobs_cancelled_total", ["kind": "\(job.kind)"])
        logger.notice("a job was cancelled", metadata: ["job": "\(job.kind) \(job.about)", "reason": "\(reason)"])
    }
}
