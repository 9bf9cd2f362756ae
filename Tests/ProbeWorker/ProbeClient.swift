// What the command line does in one transaction, as a process that a test can have die there.

import Foundation
import Logging
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraSchemas

/// A client of the database, told by its environment: `NAURA_DATABASE_URL`, `PROBE_NUMBERS` (`7,8,9`), `PROBE_KEY`.
enum ProbeClient: String {
    /// Publishes `new-data` events whose ids follow from their numbers, through the outbox.
    case publish
    /// Makes the tables.
    case migrate

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        var logger = Logger(label: rawValue)
        logger.logLevel = .error
        let database = Database(
            url: environment["NAURA_DATABASE_URL"] ?? "", connectionsMax: 1, applicationName: "naura-\(rawValue)",
            logger: logger)
        switch self {
        case .publish:
            for number in (environment["PROBE_NUMBERS"] ?? "").split(separator: ",") {
                let event = try EncodedEvent(
                    NewData(
                        dataset: DatasetID(rawValue: environment["PROBE_KEY"] ?? "one"), uri: "file:///ok/\(number)"),
                    id: EventID(rawValue: "published-\(number)"), source: "/naura/probe", time: Date(), causeID: nil,
                    rootID: nil)
                _ = try await Publisher.publish(event, in: database)
            }
        case .migrate:
            _ = try await Migrator(files: EmbeddedFiles.all.filter { $0.name.hasSuffix(".sql") }).run(on: database)
        }
        await database.close()
    }
}
