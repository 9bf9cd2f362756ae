// Whether a program and a database's tables fit each other, while one of them is upgraded before the other.

import NauraPostgres

/// The tables that this program was written for.
public enum LedgerTables {
    /// The number of the newest migration that this program knows (11 for `m0011-…`).
    public static let newestMigration = 15

    /// How a database's tables stand to this program.
    public enum Standing: Sendable, Equatable {
        /// All are there. Newer ones may be too: migrations that only add leave older programs at work.
        case fit
        /// Migrations are missing, up to the one of this number: `naura migrate` of this program makes them.
        case missing(upTo: Int)
        /// A migration has taken away what this program uses: it wants programs that know migration `oldest`.
        case tooNew(oldest: Int)
    }

    /// Looks at the tables of `database`.
    /// - Parameter newest: the newest migration that the asker knows.
    public static func standing(
        of database: Database, for newest: Int = newestMigration
    ) async throws -> Standing {
        let found = try await database.first("select to_regclass('public.naura_migration') is not null as found")
        guard try found?.get("found", as: Bool.self) == true else { return .missing(upTo: newest) }
        let reached = try await database.first(
            "select coalesce(max(substring(name from '^m([0-9]+)')::int), 0) as number from public.naura_migration")
        guard try reached?.get("number", as: Int.self) ?? 0 >= newest else { return .missing(upTo: newest) }
        let oldest = try await database.first("select oldest_migration from ledger.compatibility")?
            .get("oldest_migration", as: Int.self)
        if let oldest, oldest > newest { return .tooNew(oldest: oldest) }
        return .fit
    }
}
