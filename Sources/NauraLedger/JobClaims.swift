// Which job goes next, and who holds it: claims, heartbeats, and the fence that keeps everybody else out.

import Foundation
import NauraEvents
import NauraPostgres

/// How a job stands, seen from a runner that claimed it earlier.
public enum JobStanding: Sendable, Equatable {
    /// It is still the runner's.
    case held
    /// Somebody wants it ended; it is still the runner's, who ends it.
    case cancelled(by: String, reason: String)
    /// Another runner has it, or it has ended.
    case lost
}

extension Jobs {
    /// How many heads of lines a claim looks at: the first of so many teams are compared by what they have running.
    private static let candidatesMax = 64

    /// Claims the next job of `kinds` that is due, for `leaseSeconds`, and at least of the priority `priorityMin`.
    ///
    /// Greater priority first. Among equals the team with the fewest running jobs, then the one that was served longest
    /// ago (`ledger.job_line`). A job whose runner stopped renewing comes before all, with one death more on its record.
    /// Reads some tens of rows however many jobs wait.
    public static func claim(
        kinds: [JobKind], owner: String, leaseSeconds: Double, priorityMin: JobPriority? = nil, in database: Database
    ) async throws -> ClaimedJob? {
        let row = try await database.first(claimQuery(kinds, owner, leaseSeconds, priorityMin))
        return try row.map(claimed)
    }

    /// The statement of ``claim(kinds:owner:leaseSeconds:priorityMin:in:)``, for whoever wants its plan.
    package static func claimQuery(
        _ kinds: [JobKind], _ owner: String, _ leaseSeconds: Double, _ priorityMin: JobPriority?
    ) -> Query {
        let least = priorityMin?.rawValue ?? Int(Int32.min)
        return """
            with expired as materialized (
                select id, turn from ledger.job
                where kind = any(\(kinds.map(\.rawValue))) and state = 'running' and lease_until < now()
                and cancelled_by is null and priority >= \(least)
                order by lease_until limit 1 for update skip locked
            ), busy as materialized (
                select kind, team, count(*) as jobs from ledger.job_line
                where kind = any(\(kinds.map(\.rawValue))) and is_running group by kind, team
            ), first as materialized (
                select l.kind, l.key, l.priority, l.turn, l.job_id, coalesce(b.jobs, 0) as jobs
                from unnest(\(kinds.map(\.rawValue))) as given(kind)
                cross join lateral (
                    select * from ledger.job_line n
                    where n.kind = given.kind and not n.is_running and n.due_at <= now()
                    and n.priority >= \(least)
                    order by n.priority desc, n.turn, n.job_id limit \(candidatesMax)) l
                left join busy b on b.kind = l.kind and b.team = l.team
            ), waiting as materialized (
                select j.id, l.turn from first f
                join ledger.job_line l on l.kind = f.kind and l.key = f.key and l.job_id = f.job_id and not l.is_running
                join ledger.job j on j.id = l.job_id and j.state = 'waiting' and j.due_at <= now()
                    and j.cancelled_by is null
                where not exists (select 1 from expired)
                order by f.priority desc, f.jobs, f.turn, f.job_id limit 1 for update of l, j skip locked
            )
            update ledger.job job set
                state = 'running', epoch = job.epoch + 1, owner = \(owner), started_at = clock_timestamp(),
                lease_until = clock_timestamp() + make_interval(secs => \(leaseSeconds)), turn = next.turn,
                deaths = case when job.state = 'running' then job.deaths + 1 else job.deaths end
            from (select * from expired union all select * from waiting) next
            where job.id = next.id
            returning job.id, kind, key, about, team, arguments::text as arguments, epoch, tries, deaths, filed_at,
                cause_id, root_id, traceparent
            """
    }

    static func claimed(_ row: Row) throws -> ClaimedJob {
        ClaimedJob(
            id: try row.get("id"), kind: JobKind(rawValue: try row.get("kind")), key: try row.get("key"),
            about: try row.get("about"), team: try row.get("team"), arguments: try row.get("arguments"),
            epoch: try row.get("epoch"), tries: try row.get("tries"), deaths: try row.get("deaths"),
            filedAt: try row.get("filed_at"),
            causeID: try row.get("cause_id", as: String?.self).map(EventID.init(rawValue:)),
            rootID: try row.get("root_id", as: String?.self).map(EventID.init(rawValue:)),
            traceparent: try row.get("traceparent"))
    }

    /// Seconds until the next job of `kinds` may become claimable, below 0 for one that is already; nil when none waits.
    public static func secondsUntilNext(kinds: [JobKind], in database: Database) async throws -> Double? {
        let row = try await database.first(
            """
            select extract(epoch from min(at) - clock_timestamp())::double precision as seconds
            from unnest(\(kinds.map(\.rawValue))) as given(kind)
            cross join lateral (
                (select due_at as at from ledger.job_line l where l.kind = given.kind and not is_running
                    order by due_at limit 1)
                union all
                (select lease_until from ledger.job j where j.kind = given.kind and state = 'running'
                    order by lease_until limit 1)) next
            """)
        return try row?.get("seconds", as: Double?.self)
    }

    /// Keeps the lease for `leaseSeconds` more, and stores what the runner last said of its progress.
    /// - Returns: false when another runner holds the job, or it has ended.
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

    /// Whether the job is still its runner's, and wanted.
    public static func standing(of job: ClaimedJob, in database: Database) async throws -> JobStanding {
        let row = try await database.first(
            """
            select cancelled_by, coalesce(cancel_reason, '') as reason from ledger.job
            where id = \(job.id) and epoch = \(job.epoch) and state = 'running'
            """)
        guard let row else { return .lost }
        guard let by = try row.get("cancelled_by", as: String?.self) else { return .held }
        return .cancelled(by: by, reason: try row.get("reason"))
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
        guard row != nil else { throw leaseLost(job) }
    }

    static func leaseLost(_ job: ClaimedJob) -> LedgerError {
        LedgerError(.leaseLost, "job \(job.id) (\(job.kind) \(job.about)) with epoch \(job.epoch)")
    }

    /// The age in seconds of the oldest running lease of `kinds`, counted from its start; 0 when none runs.
    public static func oldestLeaseSeconds(kinds: [JobKind], in database: Database) async throws -> Double {
        let row = try await database.first(
            """
            select coalesce(extract(epoch from max(clock_timestamp() - started_at)), 0)::double precision as age
            from ledger.job where kind = any(\(kinds.map(\.rawValue))) and state = 'running'
            """)
        return try row?.get("age") ?? 0
    }
}
