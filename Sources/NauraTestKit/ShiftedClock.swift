import Foundation

/// A wall clock that is wrong, for worker processes: `Tests/Tools/shifted-clock.c`, preloaded.
public enum ShiftedClock {
    /// Whether a C compiler is there, and the system is one whose library can be preloaded.
    public static let isAvailable: Bool = {
        #if os(Linux)
            return Certificates.executable("cc") != nil
        #else
            return false
        #endif
    }()

    /// What a process is told whose clock is to be `seconds` ahead, or behind where that is negative.
    public static func environment(seconds: Int) async throws -> [String: String] {
        ["LD_PRELOAD": try await library.value.path, "NAURA_TEST_CLOCK_SECONDS": "\(seconds)"]
    }

    /// Compiled once a test process.
    private static let library = Task {
        let source = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Tests/Tools/shifted-clock.c")
        let library = try TestProcesses.folder().appending(path: "shifted-clock.so")
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["cc", "-O1", "-shared", "-fPIC", "-o", library.path, source.path]
        process.standardInput = FileHandle.nullDevice
        let code: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        guard code == 0 else { throw TestKitError("cc ended with \(code)") }
        return library
    }
}
