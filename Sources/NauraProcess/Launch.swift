// Programs that this process starts: broker, database, workers, and what jobs run. One way for all of them.

import Foundation

/// How a program is started: what, with which words and environment, where, and where its output goes.
///
/// It gets none of our descriptors (a server that inherited our sockets would keep their ports taken), none of our blocked
/// or ignored signals (one that never hears SIGTERM could not be asked to end), and nothing to read.
///
/// Foundation's `Process` is not used: on Linux it notices the end of a child by a socket that the child's own children
/// inherit, so a program that leaves a server behind never ends for it.
public struct Launch: Sendable {
    /// A path, or a name that is looked up in `PATH`.
    public var executable: String
    public var arguments: [String]
    /// All of it; the program inherits nothing else.
    public var environment: [String: String]
    /// Where it works; nil: where we do.
    public var directory: String?
    /// The file that takes standard output and error, made where it is missing.
    public var log: String
    /// Whether the file is emptied first; else output is appended.
    public var emptiesLog: Bool
    /// Whether it leaves the terminal's session, so that closing the terminal does not end it. It always has a process
    /// group of its own, so that the terminal's Ctrl-C reaches us alone.
    public var leavesSession: Bool

    public init(
        executable: String, arguments: [String] = [],
        environment: [String: String] = ProcessInfo.processInfo.environment, directory: String? = nil, log: String,
        emptiesLog: Bool = false, leavesSession: Bool = false
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.log = log
        self.emptiesLog = emptiesLog
        self.leavesSession = leavesSession
    }

    /// Starts the program.
    ///
    /// - Throws: ``ProcessFault`` `cannot-start`, also when it ended before it could be known again.
    public func start() throws(ProcessFault) -> ProcessIdentity {
        let pid = try spawn()
        guard let identity = ProcessIdentity.current(of: pid) else {
            throw ProcessFault(.cannotStart, "\(executable) ended at once; see \(log)")
        }
        return identity
    }

    /// Runs the program to its end, which no cancellation hastens.
    ///
    /// - Returns: the exit code, or the negative number of the signal that ended it.
    public func run() async throws(ProcessFault) -> Int32 {
        let pid = try spawn()
        return await Children.end(of: pid)
    }

    /// Starts the program as a child whose end the caller waits for.
    ///
    /// - Parameter lifeline: has its whole group killed when the lifeline is let go, which this process does by dying at the
    ///   latest. The group's number is the returned pid.
    public func spawn(lifeline: Lifeline? = nil) throws(ProcessFault) -> pid_t {
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, 1, log, O_WRONLY | O_CREAT | (emptiesLog ? O_TRUNC : O_APPEND), 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        if let lifeline { posix_spawn_file_actions_adddup2(&actions, lifeline.reader, Lifeline.descriptor) }
        #if !canImport(Darwin)
            // Swift's Glibc has no `closefrom` action.
            for descriptor in try Self.openDescriptors() where descriptor > (lifeline == nil ? 2 : Lifeline.descriptor)
            {
                posix_spawn_file_actions_addclose(&actions, descriptor)
            }
        #endif
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        let company = leavesSession ? Self.setSession : Int32(POSIX_SPAWN_SETPGROUP)
        posix_spawnattr_setflags(
            &attributes,
            Int16(company | Int32(POSIX_SPAWN_SETSIGDEF) | Int32(POSIX_SPAWN_SETSIGMASK) | Self.closeOthers))

        let command = words(isWatched: lifeline != nil)
        let words = Self.copies(command)
        let variables = Self.copies(environment.map { "\($0.key)=\($0.value)" }.sorted())
        defer { (words + variables).forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawnp(&pid, command[0], &actions, &attributes, words, variables)
        guard failure == 0 else {
            throw ProcessFault(.cannotStart, "\(executable) cannot be started: \(String(cString: strerror(failure)))")
        }
        return pid
    }

    /// C strings for the caller to free, ended by nil.
    private static func copies(_ strings: [String]) -> [UnsafeMutablePointer<CChar>?] {
        strings.map { strdup($0) } + [nil]
    }

    /// The words to execute: a shell that enters the directory and becomes the program, where there is need of one.
    private func words(isWatched: Bool) -> [String] {
        guard isWatched || directory != nil else { return [executable] + arguments }
        let script = (isWatched ? Lifeline.watchdog : "") + #"cd "$1" && shift && exec "$@""#
        return ["/bin/sh", "-c", script, "naura", directory ?? ".", executable] + arguments
    }

    #if canImport(Darwin)
        private static let setSession = Int32(POSIX_SPAWN_SETSID)
        private static let closeOthers = Int32(POSIX_SPAWN_CLOEXEC_DEFAULT)
    #else
        /// `POSIX_SPAWN_SETSID` of glibc ≥ 2.26, which Swift's module does not export.
        private static let setSession: Int32 = 0x80
        private static let closeOthers: Int32 = 0

        private static func openDescriptors() throws(ProcessFault) -> [Int32] {
            do {
                return try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { Int32($0) }
            } catch {
                throw ProcessFault(.cannotStart, "our own descriptors cannot be listed: \(error)")
            }
        }
    #endif
}

/// Children of this process, once they have ended.
public enum Children {
    /// Collects the remains of those of `pids` that have ended, so that their numbers become free.
    ///
    /// - Returns: the exit code of each, or the negative number of the signal that ended it.
    @discardableResult
    public static func collectEnded(_ pids: some Sequence<Int32>) -> [Int32: Int32] {
        var ended: [Int32: Int32] = [:]
        for pid in pids {
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid { ended[pid] = code(of: status) }
        }
        return ended
    }

    /// Waits for the end of the child `pid` and collects it.
    ///
    /// - Returns: the exit code, or the negative number of the signal that ended it.
    public static func end(of pid: pid_t) async -> Int32 {
        await withCheckedContinuation { continuation in
            // Waiting blocks, so it has a thread of its own.
            Thread.detachNewThread {
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
                continuation.resume(returning: code(of: status))
            }
        }
    }

    private static func code(of status: Int32) -> Int32 {
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : -signal
    }
}

/// Why a program could not be started, or a port not be found.
public struct ProcessFault: Error, Sendable, CustomStringConvertible {
    /// What kind of fault it is; new ones break nobody.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        /// A program cannot be executed, or its log not be opened.
        public static let cannotStart = Code(description: "cannot-start")
        /// 127.0.0.1 has no free port.
        public static let noPort = Code(description: "no-port")
    }

    public let code: Code
    /// A sentence with the values at fault.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
