import NauraFailpoints

/// Brings a database's tables to the state that the program expects, by files that each ran once and never change.
///
/// Files run in the order of their names, all that are due in one transaction: all of them, or none. What ran is kept
/// in `public.naura_migration`. Two that migrate at once take turns.
public struct Migrator: Sendable {
    /// One step: its name without folders, such as `m0007-add-verdict.sql`, and its statements.
    private struct Step {
        let name: String
        let text: String
    }
    private let steps: [Step]

    /// - Parameter files: names (folders are ignored) and texts; files that do not end in `.sql` are ignored.
    public init(files: [(name: String, text: String)]) {
        steps = files.filter { $0.name.hasSuffix(".sql") }
            .map { Step(name: String($0.name.split(separator: "/").last ?? ""), text: $0.text) }
            .sorted { $0.name < $1.name }
    }

    /// Applies what is due.
    ///
    /// - Returns: the names of the files that ran now.
    /// - Throws: ``PostgresError`` with `migrationChanged` when a file that ran has other text now, is missing, or a
    ///   file that did not run stands before one that did; nothing is changed then.
    public func run(on database: Database) async throws -> [String] {
        let applied = try await database.transaction { transaction in
            // Whoever migrates longer than `lock_timeout` is worth waiting for.
            try await transaction.execute("set local lock_timeout = 0")
            // The bytes of "naur", so that it meets no other program's lock by accident.
            try await transaction.execute("select pg_advisory_xact_lock(1851880818::int8)")
            try await transaction.execute(
                """
                create table if not exists public.naura_migration (
                    name text primary key, sha256 text not null, applied_at timestamptz not null default now())
                """)
            let due = try await due(in: transaction)
            for step in due {
                do {
                    try await transaction.script(step.text)
                } catch let fault as PostgresError {
                    throw PostgresError(
                        fault.code, "\(step.name): \(fault.message)", sqlState: fault.sqlState,
                        isTransient: fault.isTransient)
                }
                Failpoint.migrationStepRun.reach()
                try await transaction.execute(
                    """
                    insert into public.naura_migration (name, sha256)
                    values (\(step.name), encode(sha256(convert_to(\(step.text), 'UTF8')), 'hex'))
                    """)
            }
            return due.map(\.name)
        }
        Failpoint.migrated.reach()
        return applied
    }

    /// Every table there is in `database`, with its schema, those of the server itself excepted.
    public static func tables(in database: Database) async throws -> [String] {
        try await database.query(
            """
            select table_schema || '.' || table_name as name from information_schema.tables
            where table_schema not in ('pg_catalog', 'information_schema') order by 1 limit 1000
            """
        ).map { try $0.get("name") }
    }

    /// The names of the files that have not run yet.
    public func pending(on database: Database) async throws -> [String] {
        try await database.transaction { transaction in
            let exists = try await transaction.first(
                "select to_regclass('public.naura_migration') is not null as found")
            guard try exists?.get("found") == true else { return steps.map(\.name) }
            return try await due(in: transaction).map(\.name)
        }
    }

    private func due(in transaction: Transaction) async throws -> [Step] {
        let rows = try await transaction.query(
            """
            select m.name, f.name is null as is_missing,
                m.sha256 is distinct from encode(sha256(convert_to(f.body, 'UTF8')), 'hex') as is_changed
            from public.naura_migration m
            left join unnest(\(steps.map(\.name)), \(steps.map(\.text))) as f(name, body) on f.name = m.name
            order by m.name collate "C"
            limit 10000
            """)
        var applied: Set<String> = []
        for row in rows {
            let name: String = try row.get("name")
            if try row.get("is_missing") {
                throw PostgresError(
                    .migrationChanged, "\(name) was applied to this database, and this program does not know it")
            }
            if try row.get("is_changed") {
                throw PostgresError(
                    .migrationChanged, "\(name) was applied to this database with another text; add a new file instead")
            }
            applied.insert(name)
        }
        let due = steps.filter { !applied.contains($0.name) }
        if let first = due.first, let last = applied.max(), first.name < last {
            throw PostgresError(.migrationChanged, "\(first.name) was added before \(last), which was applied already")
        }
        return due
    }
}
