import Foundation
import Logging
import NauraLedger
import NauraPostgres

/// The database as a command uses it: opened, used, closed.
enum Connection {
    /// How long a command waits for a database that is away before it gives up.
    static let patience: Duration = .seconds(10)

    /// A logger for rooms whose failures the command prints itself.
    static var quiet: Logger {
        var logger = Logger(label: "naura")
        logger.logLevel = .error
        return logger
    }

    /// A statement that names a table, a column or a function that is not there has met tables older than this program.
    private static func explained(_ error: any Error, _ database: Database) async -> any Error {
        guard let refusal = error as? PostgresError,
            ["42P01", "42703", "42883", "3F000"].contains(refusal.sqlState)
        else { return error }
        do {
            guard case .missing(let newest) = try await LedgerTables.standing(of: database) else { return error }
            return CommandError(
                .refused,
                """
                the database's tables are older than this naura, which wants those up to migration \(newest): run naura \
                migrate first, then this again
                """, cause: error)
        } catch {
            // The first failure tells more.
            return refusal
        }
    }

    /// Lends a database to `body`.
    ///
    /// - Throws: ``CommandError`` when none answers within ``patience``.
    static func open<R>(_ settings: Settings, _ body: (Database) async throws -> R) async throws -> R {
        let database = Database(
            url: settings.databaseURL, connectionsMax: 2, applicationName: "naura-cli", logger: quiet)
        let result: Result<R, any Error>
        do {
            try await database.waitUntilAvailable(timeout: patience)
            result = .success(try await body(database))
        } catch {
            result = .failure(await Self.explained(error, database))
        }
        await database.close()
        return try result.get()
    }
}
