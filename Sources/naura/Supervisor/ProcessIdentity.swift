import Foundation
import Glibc

/// One process of this machine, for ever: a pid is used again, a pid with its start time and boot is not.
struct ProcessIdentity: Codable, Hashable, Sendable {
    let pid: Int32
    /// When the kernel started it, in clock ticks after the boot.
    let startTicks: UInt64
    /// The boot that `startTicks` counts from, as the kernel names it.
    let boot: String

    /// The process that has `pid` now; nil when there is none, or only its remains wait to be collected.
    static func current(of pid: Int32) -> ProcessIdentity? {
        guard let ticks = runningStartTicks(of: pid) else { return nil }
        return ProcessIdentity(pid: pid, startTicks: ticks, boot: thisBoot)
    }

    /// This very process.
    static var own: ProcessIdentity {
        guard let own = current(of: getpid()) else { preconditionFailure("/proc does not know this process") }
        return own
    }

    /// Whether it still runs. A zombie does not.
    var isAlive: Bool { ProcessIdentity.current(of: pid) == self }

    /// Sends `signal` to it, and to nothing else. Returns false when it has ended.
    @discardableResult
    func send(_ signal: Int32) -> Bool { isAlive && kill(pid, signal) == 0 }

    private static let thisBoot: String = {
        let text = FileManager.default.contents(atPath: "/proc/sys/kernel/random/boot_id")
        return String(decoding: text ?? Data(), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }()

    /// Field 22 of `/proc/PID/stat` (proc(5)); nil when the process is gone or dead (state Z or X).
    private static func runningStartTicks(of pid: Int32) -> UInt64? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return nil }
        // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
        let text = String(decoding: data, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return UInt64(fields[19])
    }
}
