// Leases: work that touches the world or takes longer than a moment, filed as a row and claimed by one runner at a time.

import Foundation
import NauraEvents
import NauraPostgres

/// Names a kind of job, and the runner that does it.
public struct JobKind: RawRepresentable, Hashable, Sendable, Codable, ExpressibleByStringLiteral,
    CustomStringConvertible
{
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public init(stringLiteral value: String) { rawValue = value }
    public var description: String { rawValue }
}

/// What filing a job does when one of the same kind and `about` is there already.
public enum FilePolicy: String, Sendable {
    /// The existing one stays as it is.
    case keep
    /// One that still waits becomes due later, counted from now; one that runs or has ended stays as it is.
    case postpone
    /// One that still waits becomes due as early as the new one.
    case hasten
}

/// A job to be filed.
public struct JobRequest: Sendable {
    public let kind: JobKind
    /// Jobs of one kind and key run one at a time, in the order in which they were filed.
    public let key: String
    /// What it is about; the same request filed twice is one job.
    public let about: String
    /// JSON.
    public let arguments: String
    public let delaySeconds: Double
    /// Greater runs first among those that are due.
    public let priority: Int
    public let policy: FilePolicy
    public let causeID: EventID?
    public let rootID: EventID?
    public let traceparent: String?

    public init(
        kind: JobKind, key: String, about: String, arguments: String, delaySeconds: Double = 0, priority: Int = 0,
        policy: FilePolicy = .keep, causeID: EventID? = nil, rootID: EventID? = nil, traceparent: String? = nil
    ) {
        self.kind = kind
        self.key = key
        self.about = about
        self.arguments = arguments
        self.delaySeconds = delaySeconds
        self.priority = priority
        self.policy = policy
        self.causeID = causeID
        self.rootID = rootID
        self.traceparent = traceparent
    }
}

/// A job that this process holds under a lease.
public struct ClaimedJob: Sendable {
    public let id: Int
    public let kind: JobKind
    public let key: String
    public let about: String
    public let arguments: String
    public let epoch: Int
    /// Failed attempts before this one.
    public let tries: Int
    /// Runners that died with this job open, in a row.
    public let deaths: Int
    public let filedAt: Date
    public let causeID: EventID?
    public let rootID: EventID?
    public let traceparent: String?
}

/// The job rows.
public enum Jobs {
    /// Files `requests`, each once per (kind, about), and wakes the runners of their kinds.
    public static func file(_ requests: [JobRequest], in transaction: Transaction) async throws {
        for policy in [FilePolicy.keep, .postpone, .hasten] {
            // One statement may touch a row once: of several requests for one job the last one speaks.
            var latest: [String: Int] = [:]
            for (index, request) in requests.enumerated() where request.policy == policy {
                latest["\(request.kind)\u{0}\(request.about)"] = index
            }
            let group = latest.values.sorted().map { requests[$0] }
            guard !group.isEmpty else { continue }
            try await insert(group, policy: policy, in: transaction)
        }
        for kind in Set(requests.map(\.kind)) { try await transaction.notify("naura_job", kind.rawValue) }
    }

    private static func insert(
        _ group: [JobRequest], policy: FilePolicy, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into ledger.job
                (kind, key, about, arguments, due_at, priority, cause_id, root_id, traceparent)
            select kind, key, about, arguments::jsonb, now() + make_interval(secs => delay), priority::int,
                cause, root, trace
            from unnest(
                \(group.map(\.kind.rawValue)), \(group.map(\.key)), \(group.map(\.about)), \(group.map(\.arguments)),
                \(group.map(\.delaySeconds)), \(group.map(\.priority)), \(group.map { $0.causeID?.rawValue }),
                \(group.map { $0.rootID?.rawValue }), \(group.map(\.traceparent)))
                with ordinality as given(kind, key, about, arguments, delay, priority, cause, root, trace, place)
            order by place
            on conflict (kind, about) do update set due_at = case \(policy.rawValue)
                when 'postpone' then greatest(ledger.job.due_at, excluded.due_at)
                else least(ledger.job.due_at, excluded.due_at) end
            where ledger.job.state = 'waiting' and \(policy.rawValue) <> 'keep'
            """)
    }

    /// Claims the next job of `kinds` that is due and whose key has no earlier open job, for `leaseSeconds`.
    ///
    /// A job whose runner stopped renewing is claimed again, with one death more on its record.
    public static func claim(
        kinds: [JobKind], owner: String, leaseSeconds: Double, in database: Database
    ) async throws -> ClaimedJob? {
        let row = try await database.query(
            """
            update ledger.job job set
                state = 'running', epoch = job.epoch + 1, owner = \(owner), started_at = clock_timestamp(),
                lease_until = clock_timestamp() + make_interval(secs => \(leaseSeconds)),
                deaths = case when job.state = 'running' then job.deaths + 1 else job.deaths end
            from (
                select j.id from ledger.job j
                where j.kind = any(\(kinds.map(\.rawValue)))
                and ((j.state = 'waiting' and j.due_at <= clock_timestamp())
                    or (j.state = 'running' and j.lease_until < clock_timestamp()))
                and not exists (
                    select 1 from ledger.job e
                    where e.kind = j.kind and e.key = j.key and e.state in ('waiting', 'running') and e.id < j.id)
                order by j.priority desc, j.due_at, j.id
                for update skip locked limit 1
            ) next
            where job.id = next.id
            returning job.id, kind, key, about, arguments::text as arguments, epoch, tries, deaths, filed_at,
                cause_id, root_id, traceparent
            """
        ).first
        return try row.map { row in
            ClaimedJob(
                id: try row.get("id"), kind: JobKind(rawValue: try row.get("kind")), key: try row.get("key"),
                about: try row.get("about"), arguments: try row.get("arguments"), epoch: try row.get("epoch"),
                tries: try row.get("tries"), deaths: try row.get("deaths"), filedAt: try row.get("filed_at"),
                causeID: try row.get("cause_id", as: String?.self).map(EventID.init(rawValue:)),
                rootID: try row.get("root_id", as: String?.self).map(EventID.init(rawValue:)),
                traceparent: try row.get("traceparent"))
        }
    }

    /// Seconds until the next job of `kinds` may become claimable; nil when none waits.
    public static func secondsUntilNext(kinds: [JobKind], in database: Database) async throws -> Double? {
        let row = try await database.query(
            """
            select extract(epoch from min(case when state = 'waiting' then due_at else lease_until end)
                - clock_timestamp())::double precision as seconds
            from ledger.job where kind = any(\(kinds.map(\.rawValue))) and state in ('waiting', 'running')
            """
        ).first
        return try row?.get("seconds", as: Double?.self)
    }

    /// Keeps the lease for `leaseSeconds` more, and stores what the runner last said of its progress.
    /// - Returns: false when another runner holds the job.
    public static func renew(
        _ job: ClaimedJob, leaseSeconds: Double, progress: String?, in database: Database
    ) async throws -> Bool {
        try await database.update(
            """
            update ledger.job set lease_until = clock_timestamp() + make_interval(secs => \(leaseSeconds)),
                progress = coalesce(\(progress), progress)
            where id = \(job.id) and epoch = \(job.epoch) and state = 'running'
            """) == 1
    }

    /// Fences a short transaction in the middle of a job: throws ``LedgerError/Code/leaseLost`` when it is not ours.
    ///
    /// The row stays locked until the commit, so that no successor can start in between.
    public static func fence(_ job: ClaimedJob, in transaction: Transaction) async throws {
        let row = try await transaction.first(
            """
            select 1 as one from ledger.job
            where id = \(job.id) and epoch = \(job.epoch) and state = 'running' for update
            """)
        guard row != nil else {
            throw LedgerError(.leaseLost, "job \(job.id) (\(job.kind) \(job.about)) with epoch \(job.epoch)")
        }
    }

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
        guard changed == 1 else {
            throw LedgerError(.leaseLost, "job \(job.id) (\(job.kind) \(job.about)) with epoch \(job.epoch)")
        }
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
        guard changed == 1 else {
            throw LedgerError(.leaseLost, "job \(job.id) (\(job.kind) \(job.about)) with epoch \(job.epoch)")
        }
    }

    /// The age in seconds of the oldest running lease of `kinds`, counted from its start; 0 when none runs.
    public static func oldestLeaseSeconds(kinds: [JobKind], in database: Database) async throws -> Double {
        let row = try await database.query(
            """
            select coalesce(extract(epoch from max(clock_timestamp() - started_at)), 0)::double precision as age
            from ledger.job where kind = any(\(kinds.map(\.rawValue))) and state = 'running'
            """
        ).first
        return try row?.get("age") ?? 0
    }
}
