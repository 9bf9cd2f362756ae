import ArgumentParser
import Foundation
import NauraPostgres

/// `naura replay`.
struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Tells history again in an empty database, runs no job, and compares the tables.",
        discussion: """
            Recorded events are handled by the same stages; what a job once found out is taken from the event that it said. \
            Nothing is fetched, trained or sent, and no broker is needed. Projects are applied between the events as they \
            were. At the end every table that history can rebuild is compared with the original, hash by hash; the others \
            are named, with the reason.

            Events that went straight to Kafka (predictions, what gateways saw) are in no ledger: give them as a file of \
            JSON lines, one CloudEvent in structured mode each, by a further --from.

            The copy is for looking and comparing: it holds no feature rows, and what was in flight does not go on. Keep \
            passwords out of the addresses (PGPASSFILE): arguments can be read by every user of the machine.

            Exit code 0 when all compared tables are equal, else 1.

            Examples:
              createdb copy && naura replay --into postgresql://naura@localhost/copy
              naura replay --from postgresql://…/naura --from predictions.jsonl --into postgresql://…/copy --instances 2
            """)

    @Option(help: "The database to read history from, or a file of events as JSON lines; this Naura's by default.")
    var from: [String] = []
    @Option(help: "The empty database to fill.") var into: String
    @Option(help: "How many of each worker tell history.") var instances = 1
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard (1...16).contains(instances) else { throw ValidationError("--instances: expected 1 to 16") }
        guard from.filter(Self.isDatabase).count < 2 else {
            throw ValidationError("--from: history has one database; what else there is are files")
        }
    }

    func run() async throws {
        let source = try from.first(where: Self.isDatabase) ?? Settings.current().databaseURL
        let files = from.filter { !Self.isDatabase($0) }
        let copy = Database(
            url: into, connectionsMax: 3, applicationName: "naura-replay", logger: Connection.quiet)
        let outcome: Result<ReplayReport, any Error>
        do {
            outcome = .success(
                try await ReplayRun(source: source, files: files, target: into, copy: copy, instances: instances).run())
        } catch {
            outcome = .failure(error)
        }
        await copy.close()
        let report = try outcome.get()
        if json { try JSONOutput.print(report) } else { report.show() }
        if !report.isEqual { throw ExitCode.failure }
    }

    /// Whether it is an address and not a file: `postgresql://…` or `host=… dbname=…`.
    private static func isDatabase(_ text: String) -> Bool {
        ["postgresql://", "postgres://"].contains { text.hasPrefix($0) }
            || (text.contains("=") && !FileManager.default.fileExists(atPath: text))
    }
}
