import Foundation
import Logging
import NauraPostgres

/// The PostgreSQL server of this test process: a private cluster that is made at first use and vanishes with the
/// process, or the server that `NAURA_TEST_DATABASE_URL` names.
public actor TestPostgresCluster {
    /// The process's one server.
    public static let shared = TestPostgresCluster()

    private var preparation: Task<Prepared, any Error>?

    /// What is ready once the server runs.
    struct Prepared: Sendable {
        /// The server's maintenance database.
        let url: URL
        /// The database with all tables that test databases are copied from.
        let template: String
        let administration: Database
    }

    private init() {}

    /// The server's address, with a database to connect to.
    public func url() async throws -> URL { try await prepared().url }

    func prepared() async throws -> Prepared {
        if let preparation { return try await preparation.value }
        let task = Task { try await Self.prepare() }
        preparation = task
        return try await task.value
    }

    private static func prepare() async throws -> Prepared {
        let url = try await serverURL()
        let administration = Database(
            url: url.absoluteString, connectionsMax: 4, applicationName: "naura tests", logger: TestDatabase.logger)
        let template = try await template(at: url, administration)
        return Prepared(url: url, template: template, administration: administration)
    }

    /// The database to copy, named after the migrations, so that a server of several runs keeps one.
    ///
    /// Made under another name and renamed when it is whole: two processes may make it at once.
    private static func template(at url: URL, _ administration: Database) async throws -> String {
        let texts = TestDatabase.migrations.map { $0.name + $0.text }.joined()
        let digest = texts.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let name = "naura_template_\(String(digest, radix: 16))"
        guard try await administration.query("select 1 from pg_database where datname = \(name)").isEmpty else {
            return name
        }
        let draft = "naura_draft_\(UUID().uuidString.lowercased().prefix(8))"
        try await administration.update(TestDatabase.statement("create database \(draft)"))
        let database = Database(
            url: TestDatabase.address(of: draft, at: url).absoluteString, connectionsMax: 1,
            applicationName: "naura tests", logger: TestDatabase.logger)
        _ = try await Migrator(files: TestDatabase.migrations).run(on: database)
        // A database that somebody is connected to can be neither renamed nor copied.
        await database.close()
        do {
            try await administration.update(TestDatabase.statement("alter database \(draft) rename to \(name)"))
        } catch let fault as PostgresError where fault.sqlState == "42P04" {
            try await administration.update(TestDatabase.statement("drop database \(draft)"))
        }
        return name
    }

    private static func serverURL() async throws -> URL {
        if let given = ProcessInfo.processInfo.environment["NAURA_TEST_DATABASE_URL"], !given.isEmpty {
            guard let url = URL(string: given) else {
                throw PostgresError(.addressInvalid, "NAURA_TEST_DATABASE_URL is no address")
            }
            return url
        }
        let directory = FileManager.default.temporaryDirectory.appending(path: "naura-test-\(UUID().uuidString)")
        // Nothing here has to survive the machine, and each test makes and drops a database: beside a compiler that
        // took two seconds a test with fsync.
        let cluster = LocalCluster(
            directory: directory, databaseName: "postgres",
            settings: [
                "fsync": "off", "full_page_writes": "off",
                // A statement that a bad plan makes endless fails its test, and does not hold up all the others.
                "statement_timeout": "120s",
                // The server looks at what is small and new as it does in a long life at what is large and old.
                "autovacuum_naptime": "2s",
            ],
            logger: TestDatabase.logger)
        let url = try await cluster.ensureRunning()
        if let pid = cluster.processID { try Watchdog.start(ending: pid, removing: directory) }
        return url
    }
}

/// Ends the test server when this process ends, however it ends: a shell that waits for the end of a pipe which only
/// this process holds open.
private enum Watchdog {
    static func start(ending pid: Int32, removing directory: URL) throws {
        let pipe = Pipe()
        // Without this flag each child of the tests would hold the pipe open, and the server would outlive them all.
        _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        // SIGQUIT is PostgreSQL's immediate shutdown: the data are thrown away anyway.
        let script = """
            read -r _
            kill -QUIT "$1"
            for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
            data=$(readlink "$2/data") && rm -rf "$(dirname "$data")"
            rm -rf "$2"
            """
        shell.arguments = ["-c", script, "naura-watchdog", "\(pid)", directory.path]
        shell.currentDirectoryURL = URL(filePath: "/")
        shell.standardInput = pipe
        shell.standardOutput = FileHandle.nullDevice
        shell.standardError = FileHandle.nullDevice
        try shell.run()
        held.append(pipe)
    }

    /// Keeps the pipe open. Written once, by the one task that prepares the server.
    nonisolated(unsafe) private static var held: [Pipe] = []
}
