import Foundation
import Logging
import NauraProcess

/// A private PostgreSQL cluster in a directory: made when absent, found again when it runs, started when it does not.
///
/// The server listens on 127.0.0.1 alone, at a free port that is remembered, and takes one user, `naura`, with a
/// password made at first start. It is started by `pg_ctl`, so it belongs to no terminal and outlives its starter; the
/// next ``ensureRunning()`` takes it over. Root, which PostgreSQL refuses, works through the system user `postgres`;
/// where that user cannot walk into the directory, the data lies under `/var/lib/naura` and a link in the directory
/// leads there.
///
///     let cluster = LocalCluster(directory: stateDirectory.appending(path: "postgres"), logger: logger)
///     let url = try await cluster.ensureRunning()      // postgresql://naura:…@127.0.0.1:PORT/naura
///     try await cluster.stop()
///
/// ``ensureRunning()`` may be called again at any time, for example when the server was killed. Two calls at once for
/// one directory, also from two processes, take turns.
public struct LocalCluster: Sendable {
    /// The directory that the cluster and its notes live in.
    public let directory: URL
    private let databaseName: String
    private let logger: Logger
    private let settings: [String: String]

    /// - Parameters:
    ///   - directory: made when absent.
    ///   - databaseName: made when absent.
    ///   - settings: further lines for `postgresql.conf`, used when the cluster is made.
    public init(
        directory: URL, databaseName: String = "naura", settings: [String: String] = [:],
        logger: Logger = Logger(label: "naura.postgres")
    ) {
        self.directory = directory.standardizedFileURL
        self.databaseName = databaseName
        self.settings = settings
        self.logger = logger
    }

    /// The data, or the link that leads to them.
    private var data: URL { directory.appending(path: "data") }
    /// Where the data are: the server's user may not be able to walk through the link.
    private var place: URL { data.resolvingSymlinksInPath() }
    private var passwordFile: URL { directory.appending(path: "password") }
    private var portFile: URL { directory.appending(path: "port") }
    private var logFile: URL { place.appending(path: "server.log") }

    /// Makes the cluster if there is none, starts it if it does not run, and returns the address of its database.
    ///
    /// - Throws: ``PostgresError`` with `clusterFailed` and the last lines of the server's log.
    public func ensureRunning() async throws -> URL {
        let tools = try ClusterTools()
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let lock = try await DirectoryLock.take(directory)
        defer { lock.release() }
        if !FileManager.default.fileExists(atPath: data.appending(path: "PG_VERSION").path) {
            try await initialise(tools)
        }
        let password = try readText(passwordFile)
        if let port = await runningPort(password) { return try await prepared(port, password) }
        try await start(tools)
        guard let port = recordedPort() else {
            throw PostgresError(.clusterFailed, "the cluster's port is not recorded in \(portFile.path)")
        }
        return try await prepared(port, password)
    }

    /// Stops the server if it runs: sessions are ended, everything is written, the data stay.
    public func stop() async throws {
        let tools = try ClusterTools()
        guard FileManager.default.fileExists(atPath: data.path) else { return }
        let lock = try await DirectoryLock.take(directory)
        defer { lock.release() }
        guard let pid = processID else { return }
        let outcome = try await tools.run("pg_ctl", ["stop", "-D", place.path, "-m", "fast", "-w", "-t", "30"])
        guard outcome.isSuccess || ClusterTools.server(pid, of: place) == nil else {
            throw PostgresError(.clusterFailed, "the server \(pid) does not stop: \(outcome.output)")
        }
    }

    /// Stops the server and deletes the cluster with all its data.
    public func destroy() async throws {
        try await stop()
        // The data may lie elsewhere, behind a link.
        for path in [place.path, data.path, passwordFile.path, portFile.path] {
            guard access(path, F_OK) == 0 else { continue }
            try FileManager.default.removeItem(atPath: path)
        }
        remove(data)
    }

    /// The server's process, when it runs.
    public var processID: Int32? {
        guard let found = postmaster(), ClusterTools.server(found.pid, of: place) != nil else { return nil }
        return found.pid
    }

    // MARK: Making

    private func initialise(_ tools: ClusterTools) async throws {
        logger.info("Making a private PostgreSQL cluster", metadata: ["directory": "\(directory.path)"])
        let place = try await tools.place(for: data)
        let password = (0..<4).map { _ in String(UInt64.random(in: 0...UInt64.max), radix: 36) }.joined()
        try write(password, to: passwordFile)
        // initdb reads the password as the server's user, who may not enter our directory.
        let handed = place.deletingLastPathComponent().appending(path: ".\(UUID().uuidString)")
        try write(password, to: handed)
        defer { remove(handed) }
        try tools.give(handed.path)
        // A cluster that runs without fsync need not be made with it.
        let haste = settings["fsync"] == "off" ? ["--no-sync"] : []
        let outcome = try await tools.run(
            "initdb",
            [
                "-D", place.path, "-U", "naura", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256",
                "--pwfile=\(handed.path)", "--no-instructions",
            ] + haste)
        guard outcome.isSuccess else {
            // Half a cluster would be taken for a whole one at the next start.
            remove(place.appending(path: "PG_VERSION"))
            throw PostgresError(.clusterFailed, "initdb failed: \(outcome.output)")
        }
        try appendConfiguration(place)
        if place != data {
            remove(data)
            try FileManager.default.createSymbolicLink(at: data, withDestinationURL: place)
        }
    }

    private func appendConfiguration(_ place: URL) throws {
        var lines = [
            "listen_addresses = '127.0.0.1'",
            // A socket's path holds 107 bytes; a deep folder exceeds it.
            "unix_socket_directories = ''",
            // After a kill the server would else open and sync every file first, which took half a minute.
            "recovery_init_sync_method = syncfs",
            "max_connections = 200",
            "timezone = 'UTC'",
            "log_timezone = 'UTC'",
            "log_line_prefix = '%m [%p] %q%a '",
        ]
        lines += settings.sorted { $0.key < $1.key }.map { "\($0.key) = '\($0.value)'" }
        let file = place.appending(path: "postgresql.conf")
        // Appended in place: a file made anew would belong to root.
        let handle = try FileHandle(forWritingTo: file)
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(("\n# Naura\n" + lines.joined(separator: "\n") + "\n").utf8))
        try handle.close()
    }

    // MARK: Starting

    private func start(_ tools: ClusterTools) async throws {
        try await endRemains(tools)
        var lastOutput = ""
        for attempt in 0..<5 {
            // The port of last time keeps addresses that were handed out; when it is taken, another is chosen.
            let port = try attempt == 0 ? recordedPort() ?? freePort() : freePort()
            try write("\(port)", to: portFile)
            let outcome = try await tools.run(
                "pg_ctl", ["start", "-D", place.path, "-l", logFile.path, "-w", "-t", "60", "-o", "-p \(port)"])
            if outcome.isSuccess { return }
            lastOutput = outcome.output + logTail()
            guard lastOutput.contains("Address already in use") else { break }
        }
        throw PostgresError(.clusterFailed, "the server does not start: \(lastOutput)")
    }

    private func freePort() throws -> Int {
        do { return try FreePort.choose() } catch { throw PostgresError(.clusterFailed, "\(error)") }
    }

    /// Ends a server that is alive but does not answer, and clears away the lock file of one that is dead.
    private func endRemains(_ tools: ClusterTools) async throws {
        guard let found = postmaster() else { return }
        if ClusterTools.server(found.pid, of: place) != nil {
            _ = try await tools.run("pg_ctl", ["stop", "-D", place.path, "-m", "immediate", "-w", "-t", "10"])
        }
        // A killed server that nobody waits for stays as a zombie, whose id makes the next one believe that it runs; so
        // does a stranger who was given the id after a restart of the machine.
        if ClusterTools.server(found.pid, of: place) == nil { remove(data.appending(path: "postmaster.pid")) }
    }

    /// The port at which our server answers now.
    private func runningPort(_ password: String) async -> Int? {
        guard let found = postmaster(), ClusterTools.server(found.pid, of: place) != nil, let port = found.port else {
            return nil
        }
        let database = Database(
            url: address(port, password, "postgres").absoluteString, connectionsMax: 1, applicationName: "naura up",
            logger: logger)
        do {
            try await database.waitUntilAvailable(timeout: .seconds(10))
            await database.close()
            return port
        } catch {
            logger.warning("The private cluster does not answer", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Makes the database where it is absent.
    private func prepared(_ port: Int, _ password: String) async throws -> URL {
        try write("\(port)", to: portFile)
        let server = Database(
            url: address(port, password, "postgres").absoluteString, connectionsMax: 1, applicationName: "naura up",
            logger: logger)
        try await server.waitUntilAvailable(timeout: .seconds(60))
        let found = try await server.query("select 1 from pg_database where datname = \(databaseName)")
        if found.isEmpty {
            // A name cannot be bound; this one is the program's own.
            try await server.update(Query(sql: "create database \"\(databaseName)\"", binds: []))
        }
        await server.close()
        return address(port, password, databaseName)
    }

    private func address(_ port: Int, _ password: String, _ database: String) -> URL {
        var parts = URLComponents()
        parts.scheme = "postgresql"
        parts.user = "naura"
        parts.password = password
        parts.host = "127.0.0.1"
        parts.port = port
        parts.path = "/" + database
        guard let url = parts.url else { preconditionFailure("letters and digits make an address") }
        return url
    }

    // MARK: Notes

    /// What the server's lock file says: line 1 its process, line 4 its port.
    private func postmaster() -> (pid: Int32, port: Int?)? {
        guard let text = text(data.appending(path: "postmaster.pid")) else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let pid = lines.first.flatMap({ Int32($0) }) else { return nil }
        return (pid, lines.count > 3 ? Int(lines[3]) : nil)
    }

    private func recordedPort() -> Int? {
        text(portFile).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }

    private func logTail() -> String {
        "\n" + (text(logFile) ?? "").split(separator: "\n").suffix(10).joined(separator: "\n")
    }

    /// The file's text; nil when there is none.
    private func text(_ file: URL) -> String? {
        FileManager.default.contents(atPath: file.path).map { String(decoding: $0, as: UTF8.self) }
    }

    private func readText(_ file: URL) throws -> String {
        guard let text = text(file) else { throw PostgresError(.clusterFailed, "\(file.path) cannot be read") }
        return text
    }

    private func write(_ text: String, to file: URL) throws {
        guard
            FileManager.default.createFile(
                atPath: file.path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        else { throw PostgresError(.clusterFailed, "\(file.path) cannot be written") }
    }

    private func remove(_ file: URL) {
        // Absent is as good as removed; anything else shows in the step that follows.
        _ = unlink(file.path)
    }
}

extension LocalCluster {
    /// Whether PostgreSQL's programs, and a user who may run them, are on this machine.
    public static var isInstalled: Bool {
        do {
            _ = try ClusterTools()
            return true
        } catch { return false }
    }
}
