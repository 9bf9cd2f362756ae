import Foundation
import Glibc

/// Standard output as people read it: colours only on a terminal, lines flushed at once.
enum Terminal {
    /// Whether standard output is a terminal that understands colours.
    static let hasColours: Bool =
        isatty(1) == 1 && ProcessInfo.processInfo.environment["NO_COLOR"] == nil
        && ProcessInfo.processInfo.environment["TERM"] != "dumb"

    /// Prints `line`, visible at once also through a pipe.
    static func print(_ line: String = "") {
        FileHandle.standardOutput.write(Data((line + "\n").utf8))
    }

    /// Prints `line` to standard error.
    static func printError(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }

    /// Says what a command does while it takes long: on standard error, so that output stays data.
    static func progress(_ line: String) { printError(line) }

    static func bold(_ text: String) -> String { styled(text, "1") }
    static func dim(_ text: String) -> String { styled(text, "2") }
    static func green(_ text: String) -> String { styled(text, "32") }
    static func red(_ text: String) -> String { styled(text, "31") }
    static func cyan(_ text: String) -> String { styled(text, "36") }

    private static func styled(_ text: String, _ code: String) -> String {
        hasColours ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}

extension Duration {
    /// The duration in seconds.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }

    /// As people say it: `180 ms`, `2.4 s`, `3 min 05 s`.
    var spoken: String {
        switch seconds {
        case ..<0.9995: "\(Int((seconds * 1_000).rounded())) ms"
        case ..<99.95: "\((seconds * 10).rounded() / 10) s"
        default: String(format: "%d min %02d s", Int(seconds) / 60, Int(seconds) % 60)
        }
    }
}

/// The time of day as people read it.
enum TimeOfDay {
    /// `14:05:09`, local.
    static func now() -> String { short(Date()) }

    /// `14:05:09`, local.
    static func short(_ date: Date) -> String {
        var seconds = time_t(date.timeIntervalSince1970)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return String(format: "%02d:%02d:%02d", parts.tm_hour, parts.tm_min, parts.tm_sec)
    }
}
