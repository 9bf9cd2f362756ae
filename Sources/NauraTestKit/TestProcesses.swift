import Foundation
import Synchronization

/// The processes and folders that tests have made, ended and removed when the test process ends, however it ends: by a
/// shell that waits for the end of a pipe which only this process holds open.
enum TestProcesses {
    private struct State {
        var pids: Set<Int32> = []
        var folder: URL?
        var pipe: Pipe?
    }

    private static let state = Mutex(State())

    /// A folder of this test process; removed with it.
    static func folder() throws -> URL {
        try state.withLock { state in
            if let folder = state.folder { return folder }
            let folder = FileManager.default.temporaryDirectory.appending(path: "naura-test-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            state.folder = folder
            state.pipe = try watch(folder)
            return folder
        }
    }

    /// Has the process ended with this one.
    static func register(_ pid: Int32) throws {
        _ = try folder()
        try change { $0.insert(pid) }
    }

    /// To be called when the process has ended: its number may soon be another's.
    static func forget(_ pid: Int32) throws { try change { $0.remove(pid) } }

    private static func change(_ body: (inout sending Set<Int32>) -> Void) throws {
        try state.withLock { state in
            body(&state.pids)
            guard let folder = state.folder else { return }
            let text = state.pids.map { "\($0)\n" }.joined()
            try Data(text.utf8).write(to: folder.appending(path: "pids"), options: .atomic)
        }
    }

    private static func watch(_ folder: URL) throws -> Pipe {
        let pipe = Pipe()
        // Without this flag each child would hold the pipe open, and what is watched would outlive them all.
        _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        let script = """
            read -r _
            while read -r pid; do kill -9 "$pid" 2>/dev/null; done < "$1/pids"
            rm -rf "$1"
            """
        shell.arguments = ["-c", script, "naura-watchdog", folder.path]
        shell.currentDirectoryURL = URL(filePath: "/")
        shell.standardInput = pipe
        shell.standardOutput = FileHandle.nullDevice
        shell.standardError = FileHandle.nullDevice
        try shell.run()
        return pipe
    }
}

/// Waits until `condition` holds, asking again every 20 ms; the one place where tests wait by the clock, for what other
/// processes do and nobody announces.
///
/// - Returns: whether it held within `limit`.
public func eventually(
    within limit: Duration = .seconds(60), _ condition: () async throws -> Bool
) async throws -> Bool {
    let deadline = ContinuousClock.now + limit
    while true {
        if try await condition() { return true }
        if ContinuousClock.now >= deadline { return false }
        try await Task.sleep(for: .milliseconds(20))
    }
}
