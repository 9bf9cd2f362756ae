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

/// What goes first when more jobs wait than runners can take: the names, and their order, stand here alone.
///
/// Any number orders jobs; these are the ones that Naura uses. Jobs of one kind and key keep the order in which they were
/// filed, whatever their priority.
public struct JobPriority: RawRepresentable, Hashable, Comparable, Sendable, Codable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Taking something back, and watching over what may have to be: each process keeps a slot free for these.
    public static let rollback = JobPriority(rawValue: 100)
    /// What the loop does by itself, a retraining among it.
    public static let retrain = JobPriority(rawValue: 0)
    /// Old data made anew; only what nobody else needs the slots for.
    public static let backfill = JobPriority(rawValue: -100)

    public static func < (left: JobPriority, right: JobPriority) -> Bool { left.rawValue < right.rawValue }
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
    public let priority: JobPriority
    /// Whose share of the runners' slots it uses, such as its project: teams that wait are served in turn, however many
    /// jobs each has. Nil: the key alone.
    public let team: String?
    public let policy: FilePolicy
    public let causeID: EventID?
    public let rootID: EventID?
    public let traceparent: String?

    public init(
        kind: JobKind, key: String, about: String, arguments: String, delaySeconds: Double = 0,
        priority: JobPriority = .retrain, team: String? = nil, policy: FilePolicy = .keep, causeID: EventID? = nil,
        rootID: EventID? = nil, traceparent: String? = nil
    ) {
        self.kind = kind
        self.key = key
        self.about = about
        self.arguments = arguments
        self.delaySeconds = delaySeconds
        self.priority = priority
        self.team = team
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
    /// Whose share of the slots it uses; nil: its key's own.
    public let team: String?
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
        // `keep` last: it locks no row of a job that is there, so it may come after lines are held (m0007).
        for policy in [FilePolicy.postpone, .hasten, .keep] {
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

    /// An id that no job has or will have: for rows of a copy, which name the job that made them and had none.
    public static func reserveID(in transaction: Transaction) async throws -> Int {
        let row = try await transaction.first(
            "select nextval(pg_get_serial_sequence('ledger.job', 'id')) as id")
        guard let row else { throw PostgresError(.decodingFailed, "no id is left for a job") }
        return try row.get("id")
    }

    private static func insert(
        _ group: [JobRequest], policy: FilePolicy, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into ledger.job
                (kind, key, about, arguments, due_at, priority, team, cause_id, root_id, traceparent)
            select kind, key, about, arguments::jsonb, now() + make_interval(secs => delay), priority::int,
                team, cause, root, trace
            from unnest(
                \(group.map(\.kind.rawValue)), \(group.map(\.key)), \(group.map(\.about)), \(group.map(\.arguments)),
                \(group.map(\.delaySeconds)), \(group.map(\.priority.rawValue)), \(group.map(\.team)),
                \(group.map { $0.causeID?.rawValue }), \(group.map { $0.rootID?.rawValue }),
                \(group.map(\.traceparent)))
                with ordinality as given(kind, key, about, arguments, delay, priority, team, cause, root, trace, place)
            where \(policy.rawValue) <> 'keep' or not exists (
                select 1 from ledger.job there where there.kind = given.kind and there.about = given.about)
            order by place
            on conflict (kind, about) do update set priority = greatest(ledger.job.priority, excluded.priority),
                due_at = case \(policy.rawValue)
                    when 'postpone' then greatest(ledger.job.due_at, excluded.due_at)
                    else least(ledger.job.due_at, excluded.due_at) end
            where ledger.job.state = 'waiting' and \(policy.rawValue) <> 'keep'
            """)
    }

    /// Deletes jobs that have been done for more than `seconds`, at most `limit`. Returns how many; 0 while another does
    /// the same.
    ///
    /// A job keeps its like from being filed again only while an event may come again that would file it; that the
    /// inbox knows too. Failed and cancelled jobs stay for whoever wants them tried again.
    public static func prune(doneForSeconds seconds: Double, limit: Int, in database: Database) async throws -> Int {
        try await database.update(
            """
            delete from ledger.job
            where (select pg_try_advisory_xact_lock(hashtextextended('ledger.job', 1))) and id in (
                select id from (
                    select id, ended_at from ledger.job where state = 'done' order by id limit \(limit)) oldest
                where ended_at < now() - make_interval(secs => \(seconds)))
            """)
    }
}
