import Foundation
import NauraPostgres

/// What the tables hold while load goes on, and whether what should be pruned is.
struct SoakTables {
    /// A table whose old rows are deleted.
    private struct Pruned {
        let table: String
        /// The rows that should be gone.
        let overdue: String
        let rule: String
    }

    /// Rows may be older than their retention by the interval of pruning, and what a busy machine needs.
    private static let limit = "interval '\(Soak.keepSeconds + Soak.pruneSeconds + 30) seconds'"

    private static let pruned = [
        Pruned(
            table: "ledger.outbox", overdue: "time < now() - \(limit)",
            rule: "sent rows after `NAURA_KEEP_OUTBOX_SECONDS`"),
        Pruned(
            table: "ledger.foreign_event", overdue: "received_at < now() - \(limit)",
            rule: "after `NAURA_KEEP_OUTBOX_SECONDS`"),
        Pruned(
            table: "ledger.job", overdue: "state = 'done' and ended_at < now() - \(limit)",
            rule: "those done, after `NAURA_KEEP_JOBS_SECONDS`"),
        Pruned(
            table: "naura.prediction", overdue: "at < now() - \(limit)",
            rule: "after `NAURA_KEEP_PREDICTIONS_SECONDS`"),
        Pruned(
            table: "ledger.inbox", overdue: "day < current_date - 16", rule: "whole days, after 16; old ones are made"),
        Pruned(
            table: "ledger.worker", overdue: "seen_at < now() - interval '300 seconds'",
            rule: "silent for 300 s; such ones are made"),
    ]
    private static let seeded: Set = ["ledger.inbox", "ledger.worker"]

    private let database: Database
    private var first: [String: Int] = [:]
    private var last: [String: Int] = [:]
    private var most: [String: Int] = [:]
    private var mostOverdue: [String: Int] = [:]
    private var left: [String: Int] = [:]
    private var seeds = 0

    init(_ database: Database) { self.database = database }

    /// Notes how many rows there are of what is pruned.
    mutating func look() async throws {
        for one in Self.pruned {
            most[one.table] = max(most[one.table] ?? 0, try await count(one.table))
            let overdue = try await count("\(one.table) where \(one.overdue)")
            mostOverdue[one.table] = max(mostOverdue[one.table] ?? 0, overdue)
        }
    }

    /// The end of the warm-up.
    mutating func begin() async throws { first = try await all() }

    /// Makes an old day of the inbox and a long silent worker, once in ten calls.
    mutating func seed() async throws {
        seeds += 1
        guard seeds % 10 == 1 else { return }
        _ = try await database.query("select ledger.ensure_inbox_day(current_date - 20)")
        try await database.update(
            """
            insert into ledger.inbox (stage, event_key, day)
            select 'soak', gen_random_uuid(), current_date - 20 from generate_series(1, 1000)
            """)
        try await database.update(
            """
            insert into ledger.worker (instance, name, host, pid, state, seen_at)
            values (\("soak-\(seeds)"), 'soak', 'nowhere', 1, 'running', now() - interval '1 hour')
            """)
    }

    /// Waits until what is due is gone, for two minutes at most, and counts for the last time.
    mutating func end() async throws {
        last = try await all()
        let deadline = ContinuousClock.now + .seconds(120)
        repeat {
            left = [:]
            for one in Self.pruned {
                let rows = try await count("\(one.table) where \(one.overdue)")
                if rows > 0 { left[one.table] = rows }
            }
            if left.isEmpty { return }
            try await Task.sleep(for: .seconds(1))
        } while ContinuousClock.now < deadline
    }

    var markdown: String {
        let pruned = Self.pruned.map { one in
            let rows = [first, most, last].map { "\($0[one.table] ?? 0)" }.joined(separator: " | ")
            let overdue = Self.seeded.contains(one.table) ? "made" : "\(mostOverdue[one.table] ?? 0)"
            return "| `\(one.table)` | \(rows) | \(overdue) | \(left[one.table] ?? 0) | \(one.rule) |"
        }
        let names = Set(Self.pruned.map(\.table))
        let kept = last.keys.sorted().filter { !names.contains($0) && (last[$0] ?? 0) > 0 }.map {
            "| `\($0)` | \(first[$0] ?? 0) | \(last[$0] ?? 0) |"
        }
        return """

            ## Tables that are pruned

            Rows after the warm-up, at most, and at the end. *Late*: rows more than \(Soak.pruneSeconds + 30) s past their
            retention, at any look; *left*: such rows two minutes after the load. Both must be 0.

            | table | first | most | last | late | left | what goes |
            | --- | ---: | ---: | ---: | ---: | ---: | --- |
            \(pruned.joined(separator: "\n"))

            ## Tables that are kept

            They hold what was given or made, and grow with it: here by a small file and a training every twenty seconds.

            | table | rows after the warm-up | at the end |
            | --- | ---: | ---: |
            \(kept.joined(separator: "\n"))
            """
    }

    /// What is out of bounds, in words.
    var faults: [String] {
        Self.pruned.flatMap { one -> [String] in
            var faults: [String] = []
            if let rows = left[one.table] { faults.append("\(one.table) keeps \(rows) rows that are due") }
            let late = mostOverdue[one.table] ?? 0
            if late > 0, !Self.seeded.contains(one.table) {
                faults.append("\(one.table) had \(late) rows that were long due")
            }
            // A check that nothing ever came to be deleted would pass for ever.
            if (most[one.table] ?? 0) == 0 { faults.append("\(one.table) never held a row") }
            return faults
        }
    }

    private func count(_ rows: String) async throws -> Int {
        let row = try await database.first(Query(stringLiteral: "select count(*) as rows from \(rows)"))
        return try row?.get("rows", as: Int.self) ?? 0
    }

    /// The rows of every table of ours.
    private func all() async throws -> [String: Int] {
        let names = try await database.query(
            """
            select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('ledger', 'naura') and c.relkind in ('r', 'p') and not c.relispartition
            """
        ).map { try $0.get("name", as: String.self) }
        var counts: [String: Int] = [:]
        for name in names { counts[name] = try await count(name) }
        return counts
    }
}
