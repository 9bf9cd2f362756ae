import Foundation

/// Processes told apart by id *and* start time, since ids are used again.
enum ProcessIdentity {
    /// Starts a program in a session of its own, with its output appended to a file. It outlives us.
    static func spawn(_ command: [String], log: String) throws(KafkaError) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // POSIX_SPAWN_SETSID; glibc's header guards the name. Signals of ours that are blocked or ignored are not
        // the child's.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = 0x80 | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, command[0], &actions, &attributes, &arguments, environ)
        guard code == 0 else {
            throw KafkaError(.brokerProgram, "`\(command[0])` cannot be started: \(String(cString: strerror(code)))")
        }
        return pid
    }

    /// When the process began, in the kernel's ticks since boot; nil when there is none, or only its remains.
    static func startTime(of pid: Int32) -> String? {
        // If it was our child, this takes away what a dead one leaves behind.
        waitpid(pid, nil, WNOHANG)
        guard
            let text = FileManager.default.contents(atPath: "/proc/\(pid)/stat").map({
                String(decoding: $0, as: UTF8.self)
            }),
            let nameEnd = text.lastIndex(of: ")")
        else { return nil }
        // After the name, which may hold anything: state, then 18 more, then the start time (proc(5), field 22).
        let fields = text[text.index(after: nameEnd)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "X" else { return nil }
        // A dead leader whose threads are still ending holds its ports; only the last one's end closes them (field 20).
        if fields[0] == "Z", fields[17] == "1" || fields[17] == "0" { return nil }
        return String(fields[19])
    }

    static func isRunning(_ pid: Int32, startedAt: String) -> Bool { startTime(of: pid) == startedAt }

    /// Waits, for 10 s at most, until the process is gone; true if it is.
    static func waitForEnd(of pid: Int32, startedAt: String) async -> Bool {
        await withCheckedContinuation { continuation in
            let thread = Thread {
                let deadline = Date(timeIntervalSinceNow: 10)
                while isRunning(pid, startedAt: startedAt), Date() < deadline {
                    // The process may be nobody's child of ours, so there is nothing to wait on but its entry.
                    usleep(5_000)
                }
                continuation.resume(returning: !isRunning(pid, startedAt: startedAt))
            }
            thread.start()
        }
    }
}

/// Ports of 127.0.0.1 that nobody listens on.
enum FreePort {
    /// A free port below those that the kernel gives to outgoing connections.
    ///
    /// One of theirs could be taken by any client while the broker is away, even by one that tries to reach it and
    /// then meets itself.
    static func find() throws(KafkaError) -> Int {
        for _ in 0..<100 {
            let port = Int.random(in: 15_000..<32_000)
            if isFree(port) { return port }
        }
        throw KafkaError(.brokerProgram, "127.0.0.1 has no free port")
    }

    /// Whether `port` can be listened on now.
    static func isFree(_ port: Int) -> Bool {
        #if os(Linux)
            // A child that another thread starts at this moment would otherwise keep the port.
            let stream = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let socket = socket(AF_INET, stream, 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var yes: Int32 = 1
        // As servers do, so that connections of an earlier owner that linger do not count.
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { general in
                bind(socket, general, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 && listen(socket, 1) == 0
            }
        }
    }
}
