import Foundation
import Logging
import NauraPostgres
import NauraSchemas

/// A database for one test, with all tables and no rows; dropped when the test's closure returns.
///
///     try await TestDatabase.with { database in … }
public enum TestDatabase {
    /// Whether a server can be had: one is named by `NAURA_TEST_DATABASE_URL`, or PostgreSQL is installed.
    public static var isConfigured: Bool {
        let environment = ProcessInfo.processInfo.environment
        if environment["NAURA_TEST_DATABASE_URL"]?.isEmpty == false { return true }
        return LocalCluster.isInstalled
    }

    /// What tests without a server are skipped with.
    public static let requirement = "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"

    /// The files that make the tables.
    public static let migrations: [(name: String, text: String)] = EmbeddedFiles.all.filter {
        $0.name.hasSuffix(".sql")
    }

    static let logger: Logger = {
        var logger = Logger(label: "naura.tests")
        logger.logLevel = .error
        return logger
    }()

    /// Runs `body` with a new database, and drops it afterwards.
    ///
    /// - Parameter connectionsMax: the pool's limit.
    @discardableResult
    public static func with<R>(connectionsMax: Int = 4, _ body: (Database) async throws -> R) async throws -> R {
        try await withURL { url in
            let database = Database(
                url: url, connectionsMax: connectionsMax, applicationName: "naura test", logger: logger)
            do {
                let result = try await body(database)
                await database.close()
                return result
            } catch {
                await database.close()
                throw error
            }
        }
    }

    /// Runs `body` with the address of a new database, and drops the database afterwards with all its sessions.
    ///
    /// - Parameter isEmpty: whether the tables are left to be made by `body`.
    @discardableResult
    public static func withURL<R>(isEmpty: Bool = false, _ body: (String) async throws -> R) async throws -> R {
        let server = try await TestPostgresCluster.shared.prepared()
        let name = "naura_test_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        let template = isEmpty ? "template0" : server.template
        try await server.administration.update(statement("create database \(name) template \(template)"))
        do {
            let result = try await body(address(of: name, at: server.url).absoluteString)
            try await drop(name, server)
            return result
        } catch {
            try await drop(name, server)
            throw error
        }
    }

    private static func drop(_ name: String, _ server: TestPostgresCluster.Prepared) async throws {
        // A cancelled test still has to leave nothing behind, so the drop has a task of its own.
        try await Task { _ = try await server.administration.update(statement("drop database \(name) with (force)")) }
            .value
    }

    /// The address of the database `name` on the server of `url`.
    static func address(of name: String, at url: URL) -> URL {
        guard var parts = URLComponents(url: url, resolvingAgainstBaseURL: false) else { return url }
        parts.path = "/" + name
        return parts.url ?? url
    }

    /// A statement of tests, whose names are their own and cannot be bound.
    static func statement(_ text: String) -> Query { Query(stringLiteral: text) }
}
