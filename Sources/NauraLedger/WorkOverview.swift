// Who holds what, and what stands still and why: for whoever runs the workers.

import Foundation
import NauraPostgres

/// A job under lease.
public struct LeaseRow: Codable, Sendable, Equatable {
    public let job: Int
    public let kind: String
    public let key: String
    public let about: String
    /// The instance that holds it.
    public let owner: String?
    public let ageSeconds: Double
    /// Until the lease ends unless it is renewed; below 0 it has ended, and another may take the job.
    public let leaseSeconds: Double
    public let progress: String?
    public let tries: Int

    private enum CodingKeys: String, CodingKey {
        case job, kind, key, about, owner, progress, tries
        case ageSeconds = "age_seconds"
        case leaseSeconds = "lease_seconds"
    }
}

/// Something that stands still.
public struct StuckRow: Codable, Sendable, Equatable {
    /// A word for programs, such as `job-behind-another`.
    public let what: String
    /// Which one.
    public let subject: String
    /// The reason in a sentence, as far as it is known.
    public let why: String
    /// How long it has stood still; nil where nobody knows.
    public let seconds: Double?

    public init(what: String, subject: String, why: String, seconds: Double?) {
        self.what = what
        self.subject = subject
        self.why = why
        self.seconds = seconds
    }
}

/// Reads for those who run workers.
public enum WorkOverview {
    /// The jobs that run, the oldest first.
    public static func leases(limit: Int = 1_000, in database: Database) async throws -> [LeaseRow] {
        try await database.query(
            """
            select id, kind, key, about, owner, progress, tries,
                extract(epoch from clock_timestamp() - coalesce(started_at, filed_at))::double precision as age,
                extract(epoch from lease_until - clock_timestamp())::double precision as lease
            from ledger.job where state = 'running' order by started_at, id limit \(limit)
            """
        ).map { row in
            LeaseRow(
                job: try row.get("id"), kind: try row.get("kind"), key: try row.get("key"),
                about: try row.get("about"), owner: try row.get("owner"), ageSeconds: try row.get("age"),
                leaseSeconds: try row.get("lease", as: Double?.self) ?? 0, progress: try row.get("progress"),
                tries: try row.get("tries"))
        }
    }

    /// The partitions of each live instance, as it last said: `topic[partition]`.
    public static func assignments(in database: Database) async throws -> [String: [String]] {
        let rows = try await database.query(
            """
            select instance, assignments from ledger.worker
            where seen_at > now() - make_interval(secs => \(WorkerRegistry.silenceSeconds)) limit 1000
            """)
        return Dictionary(
            try rows.map { (try $0.get("instance", as: String.self), try $0.json("assignments", as: [String].self)) },
            uniquingKeysWith: { first, _ in first })
    }

    /// What each kind of worker does.
    public static func duties(in database: Database) async throws -> [WorkerDuty] {
        try await database.query(
            "select worker, kind, name, topic from ledger.duty order by kind desc, name, worker limit 1000"
        )
        .map { row in
            WorkerDuty(
                worker: try row.get("worker"), kind: try row.get("kind"), name: try row.get("name"),
                topic: try row.get("topic"))
        }
    }

    /// What stands still, as far as the ledger shows it.
    public static func stuck(limit: Int = 100, in database: Database) async throws -> [StuckRow] {
        try await leasesPastTheirTime(limit, database) + failingJobs(limit, database)
            + jobsBehindOthers(limit, database)
            + jobsNobodyTakes(database) + unsentStreams(limit, database) + deadlyEvents(limit, database)
    }

    // MARK: - Jobs

    private static func leasesPastTheirTime(_ limit: Int, _ database: Database) async throws -> [StuckRow] {
        try await database.query(
            """
            select id, kind, key, owner, deaths,
                extract(epoch from clock_timestamp() - lease_until)::double precision as seconds
            from ledger.job where state = 'running' and lease_until < clock_timestamp() - interval '1 second'
            order by lease_until limit \(limit)
            """
        ).map { row in
            let deaths = try row.get("deaths", as: Int.self)
            let before = deaths > 0 ? ", after \(deaths) that died with it open" : ""
            return StuckRow(
                what: "lease-past-its-time", subject: try subject(row),
                why: """
                    \(try row.get("owner", as: String?.self) ?? "its runner") no longer renews its lease\(before); the next \
                    free runner of \(try row.get("kind", as: String.self)) takes it
                    """,
                seconds: try row.get("seconds"))
        }
    }

    private static func failingJobs(_ limit: Int, _ database: Database) async throws -> [StuckRow] {
        try await database.query(
            """
            select id, kind, key, tries, coalesce(failure_message, 'no message') as failure,
                extract(epoch from due_at - clock_timestamp())::double precision as wait,
                extract(epoch from clock_timestamp() - filed_at)::double precision as seconds
            from ledger.job where state = 'waiting' and tries > 0 order by due_at, id limit \(limit)
            """
        ).map { row in
            let (tries, wait) = (try row.get("tries", as: Int.self), try row.get("wait", as: Double.self))
            let next = wait > 0 ? "tried again in \(Int(wait.rounded(.up))) s" : "due to be tried again"
            return StuckRow(
                what: "job-failing", subject: try subject(row),
                why:
                    "failed \(tries == 1 ? "once" : "\(tries) times"), \(next); last: \(try row.get("failure", as: String.self))",
                seconds: try row.get("seconds"))
        }
    }

    private static func jobsBehindOthers(_ limit: Int, _ database: Database) async throws -> [StuckRow] {
        try await database.query(
            """
            select j.kind, j.key, count(*) as waiting, first.id, first.state, first.owner, first.tries, first.failure,
                first.wait, max(extract(epoch from clock_timestamp() - j.due_at))::double precision as seconds
            from (select * from ledger.job where state = 'waiting' and due_at <= now() order by id limit 10000) j
            join lateral (
                select id, state, owner, tries, failure_message as failure,
                    extract(epoch from due_at - clock_timestamp())::double precision as wait
                from ledger.job e
                where e.kind = j.kind and e.key = j.key and e.state in ('waiting', 'running') and e.id <> j.id
                and (e.state = 'running' or e.id < j.id)
                order by e.state = 'running' desc, id limit 1) first on true
            group by j.kind, j.key, first.id, first.state, first.owner, first.tries, first.failure, first.wait
            order by seconds desc limit \(limit)
            """
        ).map { row in
            let first = "job \(try row.get("id", as: Int.self)) of the same key"
            let wait = try row.get("wait", as: Double.self)
            let why: String
            if try row.get("state", as: String.self) == "running" {
                why = "\(first) runs at \(try row.get("owner", as: String?.self) ?? "an unknown runner")"
            } else if try row.get("tries", as: Int.self) > 0 {
                why = "\(first) failed and is tried first: \(try row.get("failure", as: String?.self) ?? "no message")"
            } else if wait > 0 {
                why = "\(first) comes first, and is due in \(Int(wait.rounded(.up))) s"
            } else {
                why = "\(first) comes first, and waits for a runner"
            }
            let count = try row.get("waiting", as: Int.self)
            return StuckRow(
                what: "job-behind-another",
                subject: """
                    \(count == 1 ? "a job" : "\(count) jobs") of \(try row.get("kind", as: String.self)) \
                    \(try row.get("key", as: String.self))
                    """,
                why: why, seconds: try row.get("seconds"))
        }
    }

    private static func jobsNobodyTakes(_ database: Database) async throws -> [StuckRow] {
        try await database.query(
            """
            select j.kind, count(*) as waiting, extract(epoch from clock_timestamp() - min(due_at))::double precision as seconds,
                (select string_agg(d.worker, ', ') from ledger.duty d where d.kind = 'job' and d.name = j.kind) as workers,
                exists (select 1 from ledger.duty d join ledger.worker w on w.name = d.worker
                    where d.kind = 'job' and d.name = j.kind
                    and w.seen_at > now() - make_interval(secs => \(WorkerRegistry.silenceSeconds))) as is_alive
            from (
                select * from ledger.job where state = 'waiting' and due_at < clock_timestamp() - interval '5 seconds'
                order by id limit 10000) j
            where not exists (
                select 1 from ledger.job e where e.kind = j.kind and e.key = j.key and e.id <> j.id
                and (e.state = 'running' or (e.state = 'waiting' and e.id < j.id)))
            group by j.kind order by seconds desc limit 100
            """
        ).map { row in
            let (kind, count) = (try row.get("kind", as: String.self), try row.get("waiting", as: Int.self))
            let workers = try row.get("workers", as: String?.self)
            let why =
                if let workers {
                    try row.get("is_alive", as: Bool.self)
                        ? "all runners of \(workers) are busy, or cannot reach the database: start another instance"
                        : "no instance of \(workers) lives"
                } else { "no worker that was started here does such jobs" }
            return StuckRow(
                what: "job-without-runner", subject: "\(count == 1 ? "a job" : "\(count) jobs") of \(kind)", why: why,
                seconds: try row.get("seconds"))
        }
    }

    private static func subject(_ row: Row) throws -> String {
        "job \(try row.get("id", as: Int.self)) (\(try row.get("kind", as: String.self)) \(try row.get("key", as: String.self)))"
    }

    // MARK: - Streams and events

    private static func unsentStreams(_ limit: Int, _ database: Database) async throws -> [StuckRow] {
        try await database.query(
            """
            select s.name, s.owner, s.next - 1 - s.sent as unsent,
                exists (select 1 from ledger.worker w where w.instance = s.owner
                    and w.seen_at > now() - make_interval(secs => \(WorkerRegistry.silenceSeconds))) as is_alive,
                extract(epoch from clock_timestamp() - first.time)::double precision as seconds
            from ledger.stream s left join lateral (
                select time from ledger.outbox o where o.stream_id = s.id and o.number > s.sent
                order by number limit 1) first on true
            where s.next - 1 > s.sent and first.time < now() - interval '3 seconds' order by first.time limit \(limit)
            """
        ).map { row in
            let (owner, count) = (try row.get("owner", as: String?.self), try row.get("unsent", as: Int.self))
            let why =
                if let owner {
                    try row.get("is_alive", as: Bool.self)
                        ? "\(owner) holds it, and the broker has not acknowledged them"
                        : "\(owner) held it and is silent; its successor sends them first"
                } else { "nobody holds it; whoever takes it sends them first" }
            return StuckRow(
                what: "stream-unsent",
                subject:
                    "\(count == 1 ? "one event" : "\(count) events") of stream \(try row.get("name", as: String.self))",
                why: why, seconds: try row.get("seconds"))
        }
    }

    private static func deadlyEvents(_ limit: Int, _ database: Database) async throws -> [StuckRow] {
        try await database.query(
            """
            select stage, max(deaths) as deaths, count(*) as events from ledger.attempt where deaths > 1
            group by stage order by stage limit \(limit)
            """
        ).map { row in
            let (deaths, count) = (try row.get("deaths", as: Int.self), try row.get("events", as: Int.self))
            return StuckRow(
                what: "event-ends-workers",
                subject:
                    "\(count == 1 ? "an event" : "\(count) events") of stage \(try row.get("stage", as: String.self))",
                why: """
                    \(deaths) workers in a row ended with it open; after \(Attempts.deathsMax) it becomes a dead letter
                    """,
                seconds: nil)
        }
    }
}
