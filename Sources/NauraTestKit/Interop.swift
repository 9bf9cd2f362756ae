import Foundation
import Synchronization

/// Other people's programs that speak CloudEvents over Kafka: `kcat`, and the PyPI SDK `cloudevents`.
public enum Interop {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let python = root.appending(path: ".build/interop/bin/python3").path
    private static let script = root.appending(path: "Tests/interop/interop.py").path
    private static let kcat: String? = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin"
        return path.split(separator: ":").map { "\($0)/kcat" }.first(where: FileManager.default.isExecutableFile)
    }()

    /// Whether the SDK is installed.
    public static let hasSDK = FileManager.default.isExecutableFile(atPath: python)
    /// Whether kcat is installed.
    public static let hasKcat = kcat != nil
    /// What tests without the SDK are skipped with.
    public static let sdkRequirement = "needs the PyPI package cloudevents in .build/interop (ops/bootstrap --test)"
    /// What tests without kcat are skipped with.
    public static let kcatRequirement = "needs the program kcat (ops/bootstrap --test)"

    /// Has the SDK publish two events of type `new-data`, in binary and in structured mode.
    public static func publish(_ number: Int, to brokers: String) async throws {
        _ = try await run(python, [script, "publish", brokers, "\(number)"])
    }

    /// Has the SDK read every record of `topics`.
    /// - Returns: how many records each topic has.
    /// - Throws: ``InteropError`` with the SDK's reasons when it refuses one.
    public static func accept(_ topics: [String], at brokers: String) async throws -> [String: Int] {
        let output = try await run(python, [script, "accept", brokers] + topics)
        return try JSONDecoder().decode([String: Int].self, from: Data(output.utf8))
    }

    /// Has kcat produce `value` with `headers`, keyed by `key`.
    public static func produce(
        _ value: String, headers: [(String, String)], key: String, topic: String, to brokers: String
    ) async throws {
        guard let kcat else { throw InteropError(description: kcatRequirement) }
        let headers = headers.flatMap { ["-H", "\($0.0)=\($0.1)"] }
        _ = try await run(kcat, ["-P", "-b", brokers, "-t", topic, "-k", key] + headers, input: value)
    }

    /// Runs a program to its end and returns what it has printed.
    private static func run(_ program: String, _ arguments: [String], input: String = "") async throws -> String {
        let folder = try TestProcesses.folder().appending(path: "run-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Files, not pipes: a pipe that nobody reads holds a program up.
        let files = ["in", "out", "err"].map { folder.appending(path: $0) }
        for file in files { try Data((file == files[0] ? input : "").utf8).write(to: file) }
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.standardInput = try FileHandle(forReadingFrom: files[0])
        process.standardOutput = try FileHandle(forWritingTo: files[1])
        process.standardError = try FileHandle(forWritingTo: files[2])
        let (ends, told) = AsyncStream.makeStream(of: Int32.self)
        process.terminationHandler = { process in
            told.yield(process.terminationStatus)
            told.finish()
        }
        try process.run()
        var iterator = ends.makeAsyncIterator()
        let status = await iterator.next() ?? -1
        guard status == 0 else {
            let said = String(decoding: try Data(contentsOf: files[2]), as: UTF8.self)
            let name = URL(filePath: program).lastPathComponent
            throw InteropError(description: "\(name) ended with \(status): \(said)")
        }
        return String(decoding: try Data(contentsOf: files[1]), as: UTF8.self)
    }
}

/// What another program found wrong.
public struct InteropError: Error, CustomStringConvertible {
    public let description: String
}
