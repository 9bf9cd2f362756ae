import Foundation

/// One process of this machine, for ever: a pid is used again, a pid with its start time and boot is not.
public struct ProcessIdentity: Codable, Hashable, Sendable {
    public let pid: Int32
    /// When the kernel started it, in clock ticks after the boot.
    let startTicks: UInt64
    /// The boot that `startTicks` counts from, as the kernel names it.
    let boot: String

    /// The process that has `pid` now; nil when there is none, or only its remains wait to be collected.
    public static func current(of pid: Int32) -> ProcessIdentity? {
        startTicks(of: pid).map { ProcessIdentity(pid: pid, startTicks: $0, boot: thisBoot) }
    }

    /// This very process.
    public static var own: ProcessIdentity {
        guard let own = current(of: getpid()) else { preconditionFailure("/proc does not know this process") }
        return own
    }

    /// Whether it still runs. Its remains do not.
    public var isAlive: Bool { ProcessIdentity.current(of: pid) == self }

    /// Sends `signal` to it, and to nothing else. Returns false when it has ended.
    @discardableResult
    public func send(_ signal: Int32) -> Bool { isAlive && kill(pid, signal) == 0 }

    /// Waits until it is gone, `limit` at most; a child of ours is collected. Returns whether it is gone.
    public func hasEnded(within limit: Duration) async -> Bool {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let deadline = ContinuousClock.now + limit
                var isGone = false
                while true {
                    // Some kernels count the threads of a dead child that was not collected as if they lived.
                    Children.collectEnded([pid])
                    isGone = !isAlive
                    if isGone || ContinuousClock.now >= deadline { break }
                    // It may be nobody's child of ours, so there is nothing to wait on but its entry.
                    usleep(5_000)
                }
                continuation.resume(returning: isGone)
            }
        }
    }

    #if os(Linux)
        private static let thisBoot: String = {
            let text = FileManager.default.contents(atPath: "/proc/sys/kernel/random/boot_id")
            return String(decoding: text ?? Data(), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        }()

        /// Field 22 of `/proc/PID/stat` (proc(5)); nil when the process is gone or dead.
        private static func startTicks(of pid: Int32) -> UInt64? {
            guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return nil }
            // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
            let text = String(decoding: data, as: UTF8.self)
            guard let end = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: end)...].split(separator: " ")
            guard fields.count > 19, fields[0] != "X" else { return nil }
            // A dead leader whose threads are still ending holds its ports; only the last one's end closes them (field 20).
            if fields[0] == "Z", fields[17] == "1" || fields[17] == "0" { return nil }
            return UInt64(fields[19])
        }
    #else
        private static let thisBoot = ""

        /// Without `/proc` the number alone tells a process.
        private static func startTicks(of pid: Int32) -> UInt64? {
            pid > 0 && (kill(pid, 0) == 0 || errno == EPERM) ? 0 : nil
        }
    #endif
}
