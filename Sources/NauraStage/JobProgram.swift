// Programs that jobs run: in a process group of their own, of which nothing outlives the job.

import Foundation
import Synchronization

/// Runs a program for a job.
public enum JobProgram {
    /// How long a program may take to end after SIGTERM; then its whole group gets SIGKILL.
    public static let graceSeconds = 2.0

    /// A program that could not be started.
    public struct Fault: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Runs the program at `path` until it ends, and whatever it has started with it.
    ///
    /// When the task is cancelled (the job's time is up, a person has cancelled it, its lease is lost, the worker stops)
    /// the whole group is ended: SIGTERM, then SIGKILL. So it is when this process dies, however it dies.
    /// - Parameters:
    ///   - environment: all of it; the program inherits nothing.
    ///   - output: the file that takes what it writes; made or emptied.
    /// - Returns: the exit code, or the negative number of the signal that ended it.
    /// - Throws: ``Fault``, or `CancellationError` once nothing of the group is left.
    public static func run(
        _ path: String, _ arguments: [String] = [], environment: [String: String] = [:], directory: String = "/",
        output: String
    ) async throws -> Int32 {
        let (group, lifeline) = try spawn(
            path, arguments, environment: environment, directory: directory, output: output)
        let status = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Waiting blocks, so it has a thread of its own.
                Thread.detachNewThread { continuation.resume(returning: wait(for: group)) }
            }
        } onCancel: {
            kill(-group, SIGTERM)
            Thread.detachNewThread {
                Thread.sleep(forTimeInterval: graceSeconds)
                // The leader's number stays taken until it was waited for, which closes the lifeline too.
                if lifeline.isHeld { kill(-group, SIGKILL) }
            }
        }
        // What the program has left behind goes with it, and the watchdog.
        kill(-group, SIGKILL)
        lifeline.letGo()
        try Task.checkCancellation()
        return status
    }

    private static func wait(for pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
    }

    /// Leaves a shell in the group that kills it when the other end of descriptor 3 is gone, which is with this process.
    ///
    /// It is a child of nobody who is still there: a program that waits for any child would else wait for it.
    private static let watchdog = """
        ( ( read -r _ <&3; kill -KILL 0 ) & )
        exec 3<&-
        cd "$1" && shift && exec "$@"
        """

    private static func spawn(
        _ path: String, _ arguments: [String], environment: [String: String], directory: String, output: String
    ) throws -> (pid_t, Lifeline) {
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        let lifeline = try Lifeline()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
            lifeline.closeReader()
        }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        posix_spawn_file_actions_adddup2(&actions, lifeline.reader, 3)
        #if canImport(Darwin)
            let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_CLOEXEC_DEFAULT
        #else
            // A program that inherited our sockets would keep their ports taken.
            for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
                if let descriptor = Int32(name), descriptor > 3 {
                    posix_spawn_file_actions_addclose(&actions, descriptor)
                }
            }
            let flags = POSIX_SPAWN_SETPGROUP
        #endif
        // Threads of the pool block signals, and a program would inherit that: deaf to SIGTERM, killed without a word.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(Int(flags) | Int(POSIX_SPAWN_SETSIGMASK) | Int(POSIX_SPAWN_SETSIGDEF)))
        let words = (["/bin/sh", "-c", watchdog, "naura-job", directory, path] + arguments).map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, "/bin/sh", &actions, &attributes, words, variables)
        guard failure == 0 else {
            lifeline.letGo()
            throw Fault(description: "\(path) cannot be started: \(String(cString: strerror(failure)))")
        }
        return (pid, lifeline)
    }
}

/// A pipe whose writing end this process holds as long as the group may live.
private final class Lifeline: Sendable {
    let reader: Int32
    private let writer: Mutex<Int32>

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw JobProgram.Fault(description: "no pipe can be made: \(String(cString: strerror(errno)))")
        }
        // Another program started at this moment must not hold it open.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reader = ends[0]
        writer = Mutex(ends[1])
    }

    var isHeld: Bool { writer.withLock { $0 >= 0 } }
    func closeReader() { close(reader) }
    func letGo() {
        writer.withLock { writer in
            if writer >= 0 { close(writer) }
            writer = -1
        }
    }
}
