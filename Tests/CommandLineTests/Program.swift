import Foundation
import Logging
import NauraPostgres
import NauraProcess
import NauraTestKit

@testable import naura

/// The program `naura` as a person runs it: arguments in, exit code, output and errors out.
struct Program: Sendable {
    struct Result: Sendable {
        let code: Int32
        let output: String
        let errors: String

        /// The lines of standard output.
        var lines: [String] { output.split(separator: "\n").map(String.init) }

        /// Standard output as JSON.
        func json() throws -> Any { try JSONSerialization.jsonObject(with: Data(output.utf8)) }
        func array() throws -> [[String: Any]] { try json() as? [[String: Any]] ?? [] }
        func object() throws -> [String: Any] { try json() as? [String: Any] ?? [:] }
    }

    let folder: URL
    /// Added to an environment without any `NAURA_*` variable.
    let environment: [String: String]

    /// Runs `body` with the program in a new folder, and removes the folder.
    static func with(
        _ environment: [String: String] = [:], _ body: (Program) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-cli-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        do {
            try await body(Program(folder: folder, environment: environment))
        } catch {
            try FileManager.default.removeItem(at: folder)
            throw error
        }
        try FileManager.default.removeItem(at: folder)
    }

    /// The same, and a database with all tables that the program finds by its environment.
    static func withDatabase(
        _ environment: [String: String] = [:], _ body: (Program, Database) async throws -> Void
    ) async throws {
        try await TestDatabase.withURL { url in
            var logger = Logger(label: "naura.tests")
            logger.logLevel = .error
            let database = Database(url: url, connectionsMax: 2, applicationName: "naura test", logger: logger)
            do {
                try await with(environment.merging(["NAURA_DATABASE_URL": url]) { $1 }) { try await body($0, database) }
            } catch {
                await database.close()
                throw error
            }
            await database.close()
        }
    }

    /// Writes a file into the folder; returns its path.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        let file = folder.appending(path: name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
        return file.path
    }

    /// Runs `naura` with `arguments` and waits for its end.
    func callAsFunction(_ arguments: String...) async throws -> Result { try await run(arguments) }

    func run(_ arguments: [String]) async throws -> Result {
        let id = UUID().uuidString
        let (out, err) = (folder.appending(path: ".out-\(id)").path, folder.appending(path: ".err-\(id)").path)
        let process = try start(arguments, out: out, err: err)
        var code: Int32?
        _ = try await eventually(within: .seconds(100)) {
            code = Children.collectEnded([process.pid])[process.pid]
            return code != nil
        }
        guard let code else {
            process.send(SIGKILL)
            throw ProgramError(description: "naura \(arguments.joined(separator: " ")) does not end")
        }
        return Result(
            code: code, output: try String(contentsOfFile: out, encoding: .utf8),
            errors: try String(contentsOfFile: err, encoding: .utf8))
    }

    /// Starts `naura` with `arguments`, and leaves it to the caller to end and collect.
    func start(
        _ arguments: [String], out: String = "/dev/null", err: String = "/dev/null"
    ) throws -> ProcessIdentity {
        // Foundation's `Process` learns of an end only when nobody holds its socket any more: not while a daemon lives
        // that the program has left behind, as `naura up --detach` does.
        let program = WorkerProcess.folder.appending(path: "naura").path
        let shell = "cd '\(folder.path)' && exec '\(program)' \"$@\" >'\(out)' 2>'\(err)'"
        return try Launch(
            executable: "/bin/sh", arguments: ["-c", shell, "naura"] + arguments,
            environment: ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("NAURA_") }
                .merging(environment) { $1 },
            log: folder.appending(path: ".shell.log").path
        ).start()
    }
}

struct ProgramError: Error, CustomStringConvertible {
    let description: String
}
