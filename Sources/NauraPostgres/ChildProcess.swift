import Foundation

/// A program run to its end.
///
/// Foundation's `Process` is not used: on Linux it notices the end of a child by a socket that the child's own children
/// inherit, so a program that leaves a server behind never ends for it.
enum ChildProcess {
    struct Outcome {
        let isSuccess: Bool
        let output: String
    }

    /// Runs the program at `path` in `/`, in a process group of its own, and returns what it wrote.
    static func run(_ path: String, _ arguments: [String]) async throws -> Outcome {
        // A file, not a pipe: a server that the program starts inherits it and would hold a pipe open.
        let output = FileManager.default.temporaryDirectory.appending(path: "naura-\(UUID().uuidString).out").path
        defer { unlink(output) }
        let pid = try spawn(path, arguments, output: output)
        let status = await withCheckedContinuation { continuation in
            // Waiting blocks, so it has a thread of its own.
            Thread.detachNewThread {
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
                continuation.resume(returning: status)
            }
        }
        let text = FileManager.default.contents(atPath: output).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return Outcome(isSuccess: status == 0, output: text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    private static func spawn(_ path: String, _ arguments: [String], output: String) throws -> pid_t {
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
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        #if canImport(Darwin)
            let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_CLOEXEC_DEFAULT
        #else
            // A server that inherited our sockets would keep their ports taken. Swift's Glibc has no `closefrom`
            // action.
            for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
                if let descriptor = Int32(name), descriptor > 2 {
                    posix_spawn_file_actions_addclose(&actions, descriptor)
                }
            }
            let flags = POSIX_SPAWN_SETPGROUP
        #endif
        // A group of its own: Ctrl-C at the terminal is for us, and we decide what ends.
        posix_spawnattr_setflags(&attributes, Int16(flags))
        // The server's user may not be able to enter our directory.
        let words = (["/bin/sh", "-c", "cd / && exec \"$@\"", "sh", path] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, "/bin/sh", &actions, &attributes, words, environ)
        guard failure == 0 else {
            throw PostgresError(.clusterFailed, "\(path) cannot be started: \(String(cString: strerror(failure)))")
        }
        return pid
    }
}
