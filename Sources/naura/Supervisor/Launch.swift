import Foundation
import Glibc

/// How a program is started: what, with which words and environment, and where its output goes.
struct Launch: Sendable {
    let executable: String
    var arguments: [String] = []
    let environment: [String: String]
    /// Standard output and error are appended to this file.
    let log: String
    /// Whether it leaves the terminal's session, so that closing the terminal does not end it.
    var leavesSession = false

    /// Starts the program in a process group of its own, so that the terminal's Ctrl-C reaches `naura` alone.
    ///
    /// - Throws: ``CommandError`` when the program cannot be executed or its log cannot be opened.
    func start() throws -> ProcessIdentity {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A program inherits blocked and ignored signals: one that never hears SIGTERM could not be asked to end.
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        let session = leavesSession ? Launch.setSession : Int32(POSIX_SPAWN_SETPGROUP)
        posix_spawnattr_setflags(
            &attributes, Int16(session | Int32(POSIX_SPAWN_SETSIGDEF) | Int32(POSIX_SPAWN_SETSIGMASK)))
        posix_spawnattr_setpgroup(&attributes, 0)

        var pid: pid_t = 0
        let status = withCStrings([executable] + arguments) { argumentList in
            withCStrings(environment.map { "\($0.key)=\($0.value)" }.sorted()) { environmentList in
                posix_spawn(&pid, executable, &actions, &attributes, argumentList, environmentList)
            }
        }
        guard status == 0 else {
            throw CommandError(.process, "\(executable) cannot be started: \(String(cString: strerror(status)))")
        }
        guard let identity = ProcessIdentity.current(of: pid) else {
            throw CommandError(.process, "\(executable) ended at once; see \(log)")
        }
        return identity
    }

    /// `POSIX_SPAWN_SETSID` of glibc ≥ 2.26, which Swift's module does not export.
    private static let setSession: Int32 = 0x80
}

/// Runs `body` with `strings` as a null-terminated array of C strings, valid during the call.
private func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
    let copies = strings.map { strdup($0) }
    defer { copies.forEach { free($0) } }
    return body(copies + [nil])
}

/// Collects the remains of ended children of this process, so that their pids become free.
///
/// Returns the exit status of each: a code, or 128 + the signal that ended it, as shells show it.
func collectEndedChildren(_ pids: some Sequence<Int32>) -> [Int32: Int32] {
    var ended: [Int32: Int32] = [:]
    for pid in pids {
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { continue }
        let signal = status & 0x7f
        ended[pid] = signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
    return ended
}
