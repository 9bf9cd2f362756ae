import Foundation
import NauraKafka
import NauraStage

/// The addresses that a command talks to.
struct Settings: Sendable {
    let databaseURL: String
    /// How to reach the broker; nil when nothing says where it is.
    let kafka: KafkaConfiguration?
    /// `host:port` of the brokers, comma-separated.
    var brokers: String? { kafka?.brokers }
    let apiURL: String?
    let serveURL: String?
    /// Bearer token for both HTTP faces; none is wanted on the loopback address.
    let token: String?
    /// The artifact store's directory, where commands read and write packages.
    let artifacts: String?
    /// Where a report may be left; nil when the settings came from the environment.
    let state: StateFolder?

    /// From `NAURA_*` in the environment when `NAURA_DATABASE_URL` is set there, else from the nearest `.naura/`.
    ///
    /// Never from both: a gateway of one project beside the database of another would tell lies.
    /// - Throws: ``CommandError`` when neither says where things are.
    static func current(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> Settings {
        let isTold = ["NAURA_DATABASE_URL", "NAURA_DATABASE_URL_FILE"].contains { environment[$0]?.isEmpty == false }
        if isTold {
            var faults: [String] = []
            let servers = ServerConfiguration(environment: environment, faults: &faults)
            guard faults.isEmpty else { throw CommandError(.badArgument, faults.joined(separator: "\n")) }
            return Settings(
                databaseURL: servers.databaseURL, kafka: servers.kafka.brokers.isEmpty ? nil : servers.kafka,
                apiURL: environment["NAURA_API_URL"], serveURL: environment["NAURA_SERVE_URL"],
                token: servers.token, artifacts: environment["NAURA_ARTIFACTS"], state: nil)
        }
        guard let folder = StateFolder.find(), let state = try LaptopState.read(from: folder) else {
            throw CommandError(
                .noState, "no .naura/ from here upwards and no NAURA_DATABASE_URL in the environment; try: naura up")
        }
        return try state.settings(in: folder)
    }

    /// The gateway's address.
    /// - Throws: ``CommandError`` when the environment does not name it.
    func gateway() throws -> String {
        guard let serveURL else { throw CommandError(.noState, "NAURA_SERVE_URL is not set") }
        return serveURL
    }

    /// The lines that `naura env` prints.
    var exports: [(name: String, value: String)] {
        var lines: [(String, String)] = []
        if let apiURL { lines.append(("NAURA_API_URL", apiURL)) }
        if let serveURL { lines.append(("NAURA_SERVE_URL", serveURL)) }
        lines.append(("NAURA_DATABASE_URL", databaseURL))
        if let kafka { lines.append(("NAURA_KAFKA_BROKERS", kafka.brokers)) }
        if let apiURL { lines.append(("MLFLOW_TRACKING_URI", apiURL)) }
        return lines
    }
}

/// What a laptop's Naura keeps from start to start: `state.json`.
struct LaptopState: Codable, Sendable {
    /// Who made this state. The demo starts anew on its own and refuses anybody else's.
    var madeBy: String
    /// The address of the database, with its password; known after the first start.
    var databaseURL: String?
    /// `127.0.0.1:PORT` of the broker; known after the first start.
    var brokers: String?
    /// Ports of the processes that listen, by instance (`api`, `serve`, `train/health`); kept while they are free.
    var ports: [String: Int]
    /// How many of each worker run; one where it is not named.
    var scale: [String: Int]

    static let file = "state.json"

    static func read(from folder: StateFolder) throws -> LaptopState? { try folder.read(file) }

    func settings(in folder: StateFolder) throws -> Settings {
        guard let databaseURL else {
            throw CommandError(.noState, "\(folder.path) has never been up; try: naura up")
        }
        return Settings(
            databaseURL: databaseURL, kafka: brokers.map { KafkaConfiguration(brokers: $0) },
            apiURL: ports["api"].map { "http://127.0.0.1:\($0)" },
            serveURL: ports["serve"].map { "http://127.0.0.1:\($0)" }, token: nil, artifacts: folder.artifacts,
            state: folder)
    }
}
