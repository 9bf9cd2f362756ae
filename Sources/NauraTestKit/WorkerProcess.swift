import Foundation
import Synchronization

/// A worker as a real process, from the folder of the test bundle: to be killed, frozen, stopped and started.
public final class WorkerProcess: Sendable {
    /// The program's name.
    public let name: String
    /// What it has written, logs included.
    public let logFile: URL
    public let pid: Int32
    /// Thousands of processes use up the numbers: an earlier one may have had the same.
    public let startedAt = Date()
    private let end = Ending()

    /// Starts `name` with nothing in its environment but `environment` and what every program needs.
    ///
    /// The health port is chosen by the worker; the log is in a file of its own.
    /// - Parameter programs: the folder to take it from; nil for the one beside the test bundle.
    public init(
        _ name: String, arguments: [String] = [], environment: [String: String], from programs: URL? = nil
    ) throws {
        self.name = name
        logFile = try TestProcesses.folder().appending(path: "\(name)-\(UUID().uuidString.prefix(8)).log")
        try Data().write(to: logFile)
        let process = Process()
        process.executableURL = (programs ?? Self.folder).appending(path: name)
        process.arguments = arguments
        let usual = ProcessInfo.processInfo.environment.filter { Self.inherited.contains($0.key) }
        process.environment = usual.merging(environment) { $1 }
        let output = try FileHandle(forWritingTo: logFile)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        process.terminationHandler = { [end] process in
            // A number that stays in the list is ended in vain when the tests are over.
            _ = Result { try TestProcesses.forget(process.processIdentifier) }
            end.tell(process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus)
        }
        try process.run()
        pid = process.processIdentifier
        try TestProcesses.register(pid)
    }

    /// The last three: see Tests/Tools/run-sanitized.
    private static let inherited: Set<String> = [
        "PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH", "TMPDIR", "LD_PRELOAD", "TSAN_OPTIONS", "SWIFT_BACKTRACE",
    ]

    /// Where the programs are: beside the test bundle.
    public static let folder: URL = {
        let own = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        return own.deletingLastPathComponent()
    }()

    /// Whether the process runs, or is frozen.
    public var isRunning: Bool { end.code == nil }

    /// What it has written.
    public var log: String {
        String(decoding: FileManager.default.contents(atPath: logFile.path) ?? Data(), as: UTF8.self)
    }

    /// `SIGKILL`, and waits for the end.
    public func kill() async {
        Foundation.kill(pid, SIGKILL)
        _ = await exitCode()
    }

    /// `SIGTERM`, and waits for the end.
    /// - Returns: the exit code; a signal's number, negative, if one ended it.
    @discardableResult
    public func stop() async -> Int32 {
        Foundation.kill(pid, SIGTERM)
        return await exitCode()
    }

    /// `SIGSTOP`: it stands still, with all its connections and locks.
    public func freeze() { Foundation.kill(pid, SIGSTOP) }

    /// `SIGCONT`.
    public func thaw() { Foundation.kill(pid, SIGCONT) }

    /// Waits for the end of the process.
    public func exitCode() async -> Int32 { await end.wait() }
}

/// How a process ended, for those who wait for it.
private final class Ending: Sendable {
    private let state = Mutex<(code: Int32?, waiters: [CheckedContinuation<Int32, Never>])>((nil, []))

    var code: Int32? { state.withLock { $0.code } }

    func tell(_ code: Int32) {
        let waiters = state.withLock { state in
            state.code = code
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: code) }
    }

    func wait() async -> Int32 {
        await withCheckedContinuation { continuation in
            let code = state.withLock { state in
                if state.code == nil { state.waiters.append(continuation) }
                return state.code
            }
            if let code { continuation.resume(returning: code) }
        }
    }
}
