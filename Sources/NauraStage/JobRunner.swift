// Leases: long work, or work that touches the world, done outside any transaction and settled in a short one.

import Foundation
import NauraEvents
import NauraFailpoints
import NauraLedger
import NauraPostgres
import Synchronization

/// Does jobs of one kind.
public protocol JobRunner: Sendable {
    associatedtype Arguments: Codable & Sendable

    static var kind: JobKind { get }

    /// How long a try may take, and how often it is made; ``JobPolicy/usual`` unless told.
    static var policy: JobPolicy { get }

    /// Does `job` and settles it through `lease`, or gives it back by ``Lease/postpone(_:)``.
    ///
    /// May be called again for the same job, after a crash at any moment; the files and rows of an earlier attempt may
    /// be there. So it is after ``abandon(_:because:in:)``, when somebody redrives the job: what was settled as failed is
    /// done after all. Cancelled when the lease is lost or the worker stops.
    /// - Throws: ``Rejection`` when no retry can help: the job fails, a dead letter says why, the next job of the key
    ///   goes on. Any other error gives the job back, to be tried again later.
    func run(_ job: Job<Arguments>, under lease: Lease) async throws

    /// Settles what the job answered for, when it ends without having been done: it failed for good, or a person has
    /// cancelled it. In the transaction that ends the job, so nobody waits for ever for what will not come.
    func abandon(_ job: Job<Arguments>, because failure: JobFailure, in work: borrowing Work) async throws
}

extension JobRunner {
    public static var policy: JobPolicy { .usual }

    public func abandon(_ job: Job<Arguments>, because failure: JobFailure, in work: borrowing Work) async throws {}
}

/// A job as its runner sees it.
public struct Job<Arguments: Codable & Sendable>: Sendable {
    public let id: Int
    public let key: String
    public let about: String
    public let arguments: Arguments
    /// The event that led to the job, and the first of its chain; nil where nothing did.
    public let causeID: EventID?
    public let rootID: EventID?
    /// Failed attempts before this one.
    public let tries: Int
    public let filedAt: Date
}

/// The right to settle a job. Whoever lost it can write nothing.
public final class Lease: Sendable {
    private enum State { case held, settled, returned }

    let job: ClaimedJob
    private let database: Database
    private let tracer: Tracer?
    private let said = Mutex<String?>(nil)
    private let state = Mutex<State>(.held)

    /// Whether anything was said or filed under the lease: its span is somebody's parent then.
    private let isHeard = Mutex(false)

    package convenience init(_ job: ClaimedJob, database: Database) {
        self.init(job, database: database, tracer: nil)
    }

    init(_ job: ClaimedJob, database: Database, tracer: Tracer?) {
        self.job = job
        self.database = database
        self.tracer = tracer
    }

    var isOpen: Bool { state.withLock { $0 == .held } }
    /// Whether the job was given back and nothing hangs on this attempt.
    var wasIdle: Bool { state.withLock { $0 == .returned } && !isHeard.withLock { $0 } }
    var progress: String? { said.withLock { $0 } }

    /// Says how far the work is; stored with the next heartbeat, for people to see.
    public func report(_ progress: String) { said.withLock { $0 = progress } }

    /// A short transaction in the middle of the job, which stays open. Holds the job's row until it commits.
    /// - Throws: ``LedgerError`` `leaseLost` when another runner has the job.
    public func transaction<R>(_ body: (borrowing Work) async throws -> R) async throws -> R {
        try requireOpen()
        let sheet = tracer.map(SpanSheet.init)
        let result = try await database.transaction { transaction in
            try await Jobs.fence(job, in: transaction)
            Failpoint.jobStepFenced.reach()
            let batch = Batch(transaction: transaction, sheet: sheet)
            let result = try await body(Work(batch, of: job))
            try await batch.flushShared()
            Failpoint.jobStepWritten.reach()
            return result
        }
        Failpoint.jobStepCommitted.reach()
        hand(on: sheet)
        return result
    }

    /// Ends the job: results, following events and the job's row in one short transaction.
    /// - Throws: ``LedgerError`` `leaseLost` when another runner has the job; nothing is written then.
    public func settle(_ body: (borrowing Work) async throws -> Void) async throws {
        try requireOpen()
        let sheet = tracer.map(SpanSheet.init)
        try await database.transaction { transaction in
            try await Jobs.fence(job, in: transaction)
            Failpoint.jobSettleFenced.reach()
            let batch = Batch(transaction: transaction, sheet: sheet)
            try await body(Work(batch, of: job))
            try await batch.flushShared()
            try await Jobs.settle(job, in: transaction)
            Failpoint.jobSettleWritten.reach()
        }
        Failpoint.jobSettled.reach()
        hand(on: sheet)
        state.withLock { $0 = .settled }
    }

    /// Gives the job back, due after `delay`; not counted as a failed attempt.
    public func postpone(_ delay: Duration) async throws {
        try requireOpen()
        try await database.transaction { transaction in
            try await Jobs.postpone(job, seconds: delay.seconds, isTry: false, in: transaction)
            Failpoint.jobPostponing.reach()
        }
        Failpoint.jobPostponed.reach()
        state.withLock { $0 = .returned }
    }

    private func hand(on sheet: SpanSheet?) {
        guard let sheet else { return }
        if sheet.isUsed { isHeard.withLock { $0 = true } }
        sheet.commit()
    }

    private func requireOpen() throws {
        guard isOpen else { throw LedgerError(.leaseEnded, "job \(job.id) (\(job.kind) \(job.about))") }
    }
}

extension Batch {
    /// Writes what was said and filed, to the shared streams: the end of a job's or a client's transaction.
    package func flushShared() async throws {
        try await Jobs.file(outgoing.jobs, in: transaction)
        try await Outbox.append(outgoing.events, in: transaction)
    }
}

/// A runner as the runner loop sees it.
package protocol RunnerHandling: Sendable {
    var kind: JobKind { get }
    var policy: JobPolicy { get }
    func run(_ job: ClaimedJob, under lease: Lease) async throws
    func abandon(_ job: ClaimedJob, because failure: JobFailure, in work: borrowing Work) async throws
}

package struct RunnerBox<R: JobRunner>: RunnerHandling {
    let runner: R
    package var kind: JobKind { R.kind }
    package var policy: JobPolicy { R.policy }

    package init(runner: R) { self.runner = runner }

    package func run(_ job: ClaimedJob, under lease: Lease) async throws {
        let typed: Job<R.Arguments>
        do {
            typed = try self.typed(job)
        } catch {
            throw Rejection("the arguments of job \(job.id) cannot be read: \(error)", code: "bad-arguments")
        }
        try await runner.run(typed, under: lease)
    }

    package func abandon(_ job: ClaimedJob, because failure: JobFailure, in work: borrowing Work) async throws {
        try await runner.abandon(typed(job), because: failure, in: work)
    }

    private func typed(_ job: ClaimedJob) throws -> Job<R.Arguments> {
        Job(
            id: job.id, key: job.key, about: job.about,
            arguments: try JSONDecoder().decode(R.Arguments.self, from: Data(job.arguments.utf8)),
            causeID: job.causeID, rootID: job.rootID, tries: job.tries, filedAt: job.filedAt)
    }
}
