import Foundation
import Logging
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
            result = .failure(error)
        }
        await database.close()
        return try result.get()
    }
}
