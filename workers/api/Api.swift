import Configuration
import Foundation
import NauraAPI
import NauraStage

/// The control plane's face: the page, the lists, publishing. Off this machine only with a token.
@main enum ApiWorker {
    static func main() async {
        let configuration: APIConfiguration
        do {
            configuration = try read(ConfigReader(provider: EnvironmentVariablesProvider()).scoped(to: "naura"))
        } catch {
            FileHandle.standardError.write(Data("api: \(error)\n".utf8))
            exit(2)
        }
        await Worker.run("api") { context in
            WorkerParts().service(
                try APIServer(configuration: configuration, database: context.database, logger: context.logger))
        }
    }

    /// | variable | type | default |
    /// | --- | --- | --- |
    /// | `NAURA_API_PORT` | 0–65535; 0 takes a free one | 8080 |
    /// | `NAURA_HOST`, `NAURA_TOKEN` | as for every worker | `127.0.0.1`, none |
    static func read(_ config: ConfigReader) throws -> APIConfiguration {
        let given = config.string(forKey: "api.port", default: "8080")
        guard let port = Int(given), (0...65_535).contains(port) else {
            throw ConfigurationFault(faults: ["NAURA_API_PORT: expected 0…65535, found \(given)"])
        }
        do {
            return try APIConfiguration(
                host: config.string(forKey: "host", default: "127.0.0.1"), port: port,
                token: config.string(forKey: "token", isSecret: true))
        } catch let refusal as APIError {
            throw ConfigurationFault(faults: [refusal.message])
        }
    }
}
