import Foundation
import NauraProcess

/// PostgreSQL's own programs, run as a user that they accept.
struct ClusterTools {
    private let binaries: URL
    /// Set when we are root: the programs run as this user.
    private let serverUser: String?

    init() throws {
        binaries = try Self.findBinaries()
        guard geteuid() == 0 else {
            serverUser = nil
            return
        }
        guard getpwnam("postgres") != nil else {
            throw PostgresError(
                .clusterFailed,
                "root may not run PostgreSQL, and there is no user `postgres` to run it; install the package")
        }
        serverUser = "postgres"
    }

    /// The newest installed version: beside `pg_config`, or where Debian and Homebrew put it.
    private static func findBinaries() throws -> URL {
        let manager = FileManager.default
        var places = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        for base in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
            guard manager.fileExists(atPath: base) else { continue }
            let versions = try manager.contentsOfDirectory(atPath: base)
                .filter { $0.contains(where: \.isNumber) && ($0.hasPrefix("postgresql") || Int($0) != nil) }
                .sorted { $0.localizedStandardCompare($1) == .orderedDescending }
            places += versions.map { "\(base)/\($0)/bin" }
        }
        let found = places.first { place in
            ["initdb", "pg_ctl", "postgres"].allSatisfy { manager.isExecutableFile(atPath: "\(place)/\($0)") }
        }
        guard let found else {
            throw PostgresError(
                .clusterFailed, "initdb, pg_ctl and postgres were found neither in PATH nor under /usr/lib/postgresql")
        }
        return URL(filePath: found)
    }

    /// How a program ended, and what it wrote.
    struct Outcome {
        let isSuccess: Bool
        let output: String
    }

    /// Runs a program to its end and returns what it wrote.
    func run(_ program: String, _ arguments: [String]) async throws -> Outcome {
        let path = binaries.appending(path: program).path
        guard let serverUser else { return try await Self.run(path, arguments) }
        return try await Self.run(Self.runuser, ["-u", serverUser, "--", path] + arguments)
    }

    /// Runs in `/`: the server's user may not be able to enter our directory.
    private static func run(_ path: String, _ arguments: [String]) async throws -> Outcome {
        // A file, not a pipe: a server that the program starts inherits it and would hold a pipe open.
        let output = FileManager.default.temporaryDirectory.appending(path: "naura-\(UUID().uuidString).out").path
        defer { unlink(output) }
        let code: Int32
        do {
            code = try await Launch(executable: path, arguments: arguments, directory: "/", log: output).run()
        } catch {
            throw PostgresError(.clusterFailed, "\(error)")
        }
        let text = FileManager.default.contents(atPath: output).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return Outcome(isSuccess: code == 0, output: text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// The server whose data lie in `data`, if that is process `pid`: a process id in a file that outlived its process may
    /// by now be anybody's, and another PostgreSQL is none of our business.
    static func server(_ pid: Int32, of data: URL) -> ProcessIdentity? {
        guard let process = ProcessIdentity.current(of: pid) else { return nil }
        #if os(Linux)
            // A server works in its data directory. The link can be read by its own user and by root, who alone start
            // one.
            do {
                let place = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")
                return place == data.path ? process : nil
            } catch { return nil }
        #else
            return process
        #endif
    }

    private static var runuser: String {
        ["/usr/sbin/runuser", "/sbin/runuser"].first { FileManager.default.isExecutableFile(atPath: $0) }
            ?? "/usr/sbin/runuser"
    }

    /// Where the data can lie so that the server's user reaches it, made and given to that user: `wanted`, or a
    /// directory under `/var/lib/naura` or `/tmp` named after it.
    func place(for wanted: URL) async throws -> URL {
        guard let serverUser else { return wanted }
        let parent = wanted.deletingLastPathComponent()
        let name = String(
            wanted.path.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }, radix: 16)
        let candidates = [
            wanted, URL(filePath: "/var/lib/naura/\(name)/data"), URL(filePath: "/tmp/naura-\(name)/data"),
        ]
        for candidate in candidates {
            let holder = candidate.deletingLastPathComponent()
            if holder != parent {
                try FileManager.default.createDirectory(at: holder, withIntermediateDirectories: true)
            }
            let walk = try await Self.run(Self.runuser, ["-u", serverUser, "--", "test", "-x", holder.path])
            guard walk.isSuccess else { continue }
            try FileManager.default.createDirectory(at: candidate, withIntermediateDirectories: true)
            guard chmod(candidate.path, 0o700) == 0 else { continue }
            try give(candidate.path)
            return candidate
        }
        throw PostgresError(.clusterFailed, "the user `\(serverUser)` can reach none of \(candidates.map(\.path))")
    }

    /// Makes the server's user the owner of `path`.
    func give(_ path: String) throws {
        guard let serverUser, let user = getpwnam(serverUser) else { return }
        guard chown(path, user.pointee.pw_uid, user.pointee.pw_gid) == 0 else {
            throw PostgresError(.clusterFailed, "\(path) cannot be given to \(serverUser): errno \(errno)")
        }
    }
}

/// A lock that one process at a time holds on a directory; the kernel drops it with the process.
struct DirectoryLock {
    private let descriptor: Int32

    /// Waits for its turn, a minute at most.
    static func take(_ directory: URL) async throws -> DirectoryLock {
        let lock = try DirectoryLock(directory)
        for _ in 0..<1_200 {
            if flock(lock.descriptor, LOCK_EX | LOCK_NB) == 0 { return lock }
            // The pause between two tries: a blocking wait would take a thread of Swift's pool.
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        lock.release()
        throw PostgresError(.clusterFailed, "another process works on \(directory.path)", isTransient: true)
    }

    private init(_ directory: URL) throws {
        descriptor = open(directory.appending(path: "lock").path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw PostgresError(.clusterFailed, "\(directory.path)/lock cannot be opened: errno \(errno)")
        }
    }

    func release() { close(descriptor) }
}
