import Foundation
import Logging
import NauraFailpoints

/// A PostgreSQL database, reached through a pool of sessions that each have a thread of their own.
///
/// A session runs in UTC, ends a transaction that idles for 10 s, and gives up on a lock after 10 s.
public final class Database: Sendable {
    private let url: String
    private let applicationName: String
    private let logger: Logger
    private let pool: ConnectionPool

    /// A database; nothing is opened yet.
    ///
    /// - Parameters:
    ///   - url: `postgresql://user:password@host:port/database`, or any connection string that libpq takes.
    ///   - connectionsMax: sessions at a time; further callers wait in line.
    ///   - applicationName: what the server shows for the sessions.
    public init(url: String, connectionsMax: Int = 4, applicationName: String, logger: Logger) {
        self.url = url
        self.applicationName = applicationName
        self.logger = logger
        pool = ConnectionPool(connectionsMax: connectionsMax, name: "postgres") { connection in
            try DatabaseAddress.check(url)
            try await connection.open(url: url, applicationName: applicationName)
        }
    }

    /// Runs `body` in a transaction and commits it; any error rolls it back and is thrown on. Nothing is retried.
    ///
    /// Statements that `body` queues are sent with the next read or with the commit, and fail there. When the
    /// connection is lost at the commit, the error does not say whether the commit took place.
    @discardableResult
    public func transaction<R>(_ body: (Transaction) async throws -> R) async throws -> R {
        let connection = try await pool.acquire()
        let transaction = Transaction(connection)
        do {
            let result = try await body(transaction)
            Failpoint.transactionCommitting.reach()
            try await transaction.commit()
            Failpoint.transactionCommitted.reach()
            pool.release(connection)
            return result
        } catch {
            await transaction.rollBack()
            pool.release(connection)
            throw error
        }
    }

    /// Runs one statement as a transaction of its own and returns its rows.
    public func query(_ query: Query) async throws -> [Row] { try await single(query).rows }

    /// Runs one statement as a transaction of its own and returns its first row.
    public func first(_ query: Query) async throws -> Row? { try await single(query).rows.first }

    /// Runs one statement as a transaction of its own and returns how many rows it changed.
    @discardableResult
    public func update(_ query: Query) async throws -> Int { try await single(query).changedCount }

    private func single(_ query: Query) async throws -> ResultSet {
        let connection = try await pool.acquire()
        defer { pool.release(connection) }
        return try await connection.cancellable { try await connection.single(query, operation: $0) }
    }

    /// Waits until the database answers. A passing failure is logged once, and its end.
    ///
    /// - Parameter timeout: how long to wait at most; nil is for ever.
    /// - Throws: a failure that waiting does not cure, the last one when time is up, or `CancellationError`.
    public func waitUntilAvailable(timeout: Duration? = nil) async throws {
        let start = ContinuousClock.now
        var pause = Duration.milliseconds(50)
        var isAway = false
        while true {
            do {
                _ = try await query("select 1")
                if isAway { logger.info("The database is back") }
                return
            } catch let fault as PostgresError where fault.isTransient {
                if let timeout, ContinuousClock.now - start > timeout { throw fault }
                if !isAway { logger.warning("The database is away; waiting for it", metadata: ["error": "\(fault)"]) }
                isAway = true
            }
            // The pause of a back-off: nothing announces that a server listens again.
            try await ContinuousClock().sleep(for: pause)
            pause = min(pause * 2, .seconds(1))
        }
    }

    /// What arrives on `channels`, for as long as the stream is read.
    ///
    /// The stream has a session and a thread of its own, which end with it. A notification only wakes: those sent while
    /// the session is away are lost, so readers look for themselves at ``Notice/connected`` and at every
    /// ``Notice/tick``. A slow reader loses the oldest notices.
    public func listen(_ channels: [String]) -> AsyncStream<Notice> {
        Listener.start(channels: channels, url: url, applicationName: applicationName, logger: logger)
    }

    /// Ends the pool's sessions; those in use end when they are given back.
    public func close() async { await pool.close() }
}
