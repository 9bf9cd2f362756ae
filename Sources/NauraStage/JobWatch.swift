// Stands beside a running job: keeps its lease alive, and stops it when its time is up, when somebody cancels it, or when
// the lease is another's.

import Foundation
import Logging
import NauraFailpoints
import NauraLedger
import NauraPostgres
import Synchronization

/// Why a job was stopped before its runner had ended it.
enum JobStop: Error, CustomStringConvertible {
    case timedOut(Duration)
    case cancelled(by: String, reason: String)

    var description: String {
        switch self {
        case .timedOut(let limit): "stopped after \(limit.seconds) s, the longest that such a job may take"
        case .cancelled(let by, let reason): "cancelled by \(by): \(reason)"
        }
    }
}

/// Watches over one job at a time.
struct JobWatch: Sendable {
    let database: Database
    let wakeups: Wakeups
    let metrics: Metrics
    let leaseSeconds: Double
    /// See ``RunnerSettings/grace``.
    let grace: Duration

    /// Runs `body` until it ends or has to be stopped; throws what stopped it, or what it threw.
    ///
    /// A body that is deaf to cancellation is left behind after ``grace``: it holds memory and a thread, and can write
    /// nothing, since its lease is over.
    func watch(
        _ lease: Lease, policy: JobPolicy, logger: Logger, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        let (results, result) = AsyncStream.makeStream(of: Result<Void, any Error>.self)
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        // No child of the group below, which would wait for it without a limit. Owned by this call: it returns after
        // the body's end, or gives it up.
        let work = Task {
            do {
                try await body()
                result.yield(.success(()))
            } catch {
                result.yield(.failure(error))
            }
            result.finish()
            end.finish()
        }
        do {
            try await race(lease, policy, results, logger: logger).get()
        } catch {
            work.cancel()
            if await !isOver(ends) {
                metrics.count("naura_jobs_abandoned_total", ["kind": "\(lease.job.kind)"])
                logger.error(
                    "a job does not stop; its slot goes to the next one", metadata: ["error": "\(error)"])
            }
            throw error
        }
    }

    /// The body's result, or whatever stops it first.
    private func race(
        _ lease: Lease, _ policy: JobPolicy, _ results: AsyncStream<Result<Void, any Error>>, logger: Logger
    ) async throws -> Result<Void, any Error> {
        try await withThrowingTaskGroup(of: Result<Void, any Error>.self) { group in
            group.addTask {
                for await result in results { return result }
                throw CancellationError()
            }
            group.addTask { try await keepAlive(lease, logger: logger) }
            group.addTask { try await awaitCancel(lease) }
            group.addTask {
                try await Task.sleep(for: policy.timeout)
                throw JobStop.timedOut(policy.timeout)
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }

    /// Renews the lease at a third of its length, for ever; throws when it is another's.
    private func keepAlive(_ lease: Lease, logger: Logger) async throws -> Never {
        while true {
            try await Task.sleep(for: .seconds(leaseSeconds / 3))
            Failpoint.jobRenewing.reach()
            do {
                let isOurs = try await Jobs.renew(
                    lease.job, leaseSeconds: leaseSeconds, progress: lease.progress, in: database)
                Failpoint.jobRenewed.reach()
                guard isOurs || !lease.isOpen else {
                    throw LedgerError(.leaseLost, "job \(lease.job.id) (\(lease.job.kind))")
                }
            } catch let error as PostgresError where error.isTransient {
                logger.warning("the lease could not be renewed", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Looks at the job whenever somebody cancels one, and each second; throws when it is this one.
    private func awaitCancel(_ lease: Lease) async throws -> Never {
        let signal = wakeups.subscribe(to: [Jobs.cancelChannel], payloads: ["\(lease.job.id)"])
        defer { wakeups.unsubscribe(signal) }
        while true {
            await signal.wait()
            try Task.checkCancellation()
            do {
                switch try await Jobs.standing(of: lease.job, in: database) {
                case .cancelled(let by, let reason) where lease.isOpen: throw JobStop.cancelled(by: by, reason: reason)
                case .lost where lease.isOpen:
                    throw LedgerError(.leaseLost, "job \(lease.job.id) (\(lease.job.kind))")
                default: break
                }
            } catch let error as PostgresError where error.isTransient {
                // The database is away: the renewal says so, and the next tick asks again.
                continue
            }
        }
    }

    /// Whether the body ends within ``grace``. Asked in a task of its own, since this one may be cancelled.
    private func isOver(_ ends: AsyncStream<Void>) async -> Bool {
        await Task { [grace] in
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    for await _ in ends {}
                    return !Task.isCancelled
                }
                group.addTask {
                    do { try await Task.sleep(for: grace) } catch { return true }
                    return false
                }
                defer { group.cancelAll() }
                return await group.next() ?? true
            }
        }.value
    }
}
