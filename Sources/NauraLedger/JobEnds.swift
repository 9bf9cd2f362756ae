// How a job ends: settled, given back, failed for good, or cancelled by a person.

import Foundation
import NauraPostgres

/// What became of the wish to have a job ended.
public enum CancelOutcome: Sendable, Equatable {
    /// It is on record; the holder of the lease, or the next runner of the kind, ends the job.
    case requested
    /// Somebody had asked before.
    case alreadyRequested(by: String)
    /// The job has ended, as this state.
    case ended(state: String)
    case unknown
}

extension Jobs {
    /// Marks the job done. Queued; the commit fails with ``LedgerError/Code/leaseLost`` when it is not ours.
    public static func settle(_ job: ClaimedJob, in transaction: Transaction) async throws {
        try await transaction.execute("select ledger.settle_job(\(job.id), \(job.epoch))")
    }

    /// Gives the job back, due after `seconds`; `isTry` counts it as a failed attempt with `failure` on record.
    public static func postpone(
        _ job: ClaimedJob, seconds: Double, isTry: Bool, failure: String? = nil, in transaction: Transaction
    ) async throws {
        let changed = try await transaction.update(
            """
            update ledger.job set state = 'waiting', due_at = now() + make_interval(secs => \(seconds)),
                lease_until = null, owner = null, tries = tries + \(isTry ? 1 : 0),
                deaths = 0, failure_message = coalesce(\(failure), failure_message)
            where id = \(job.id) and epoch = \(job.epoch) and state = 'running'
            """)
        guard changed == 1 else { throw leaseLost(job) }
    }

    /// Ends the job as failed for good; the next job of its key may go.
    public static func fail(
        _ job: ClaimedJob, code: String, message: String, in transaction: Transaction
    ) async throws {
        let changed = try await transaction.update(
            """
            update ledger.job set state = 'failed', ended_at = now(), lease_until = null,
                failure_code = \(code), failure_message = \(message)
            where id = \(job.id) and epoch = \(job.epoch) and state = 'running'
            """)
        guard changed == 1 else { throw leaseLost(job) }
    }

    // MARK: - Cancelled by a person

    /// The channel that a wish to have a job ended is told on; the payload is the job's id.
    public static let cancelChannel = "naura_cancel"

    /// Puts on record that the job is to be ended, and wakes whoever can end it.
    ///
    /// The job is ended by the holder of its lease, as everything else; a waiting one by the next runner of its kind,
    /// whatever waits before it. Whoever ends it also settles what it answered for.
    public static func cancel(
        _ id: Int, by actor: String, reason: String, in transaction: Transaction
    ) async throws -> CancelOutcome {
        let row = try await transaction.first(
            "select kind, state, cancelled_by from ledger.job where id = \(id) for update")
        guard let row else { return .unknown }
        let state = try row.get("state", as: String.self)
        guard state == "waiting" || state == "running" else { return .ended(state: state) }
        if let by = try row.get("cancelled_by", as: String?.self) { return .alreadyRequested(by: by) }
        try await transaction.execute(
            "update ledger.job set cancelled_by = \(actor), cancel_reason = \(reason) where id = \(id)")
        try await transaction.notify(cancelChannel, "\(id)")
        try await transaction.notify("naura_job", try row.get("kind"))
        return .requested
    }

    /// A job of `kinds` that is to be ended and that nobody holds, locked until the transaction ends; nil when there is
    /// none.
    public static func nextCancelled(kinds: [JobKind], in transaction: Transaction) async throws -> ClaimedJob? {
        try await transaction.first(
            """
            select id, kind, key, about, team, arguments::text as arguments, epoch, tries, deaths, filed_at,
                cause_id, root_id, traceparent
            from ledger.job
            where kind = any(\(kinds.map(\.rawValue))) and cancelled_by is not null
            and (state = 'waiting' or (state = 'running' and lease_until < clock_timestamp()))
            order by id limit 1 for update skip locked
            """
        ).map(claimed)
    }

    /// Ends the job as cancelled; the next job of its key may go.
    /// - Returns: who asked for it and why, in one sentence.
    public static func endCancelled(_ job: ClaimedJob, in transaction: Transaction) async throws -> String {
        let row = try await transaction.first(
            """
            update ledger.job set state = 'cancelled', ended_at = now(), lease_until = null, failure_code = 'cancelled',
                failure_message = 'cancelled by ' || cancelled_by || coalesce(': ' || nullif(cancel_reason, ''), '')
            where id = \(job.id) and epoch = \(job.epoch) and state in ('waiting', 'running')
            and cancelled_by is not null
            returning failure_message
            """)
        guard let row else { throw leaseLost(job) }
        return try row.get("failure_message")
    }
}
