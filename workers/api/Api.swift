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
                try APIServer(
                    configuration: configuration, database: context.database, logger: context.logger,
                    onPublished: { [tracer = context.tracer] event, caller, began in
                        tracer?.published(event, parent: caller, start: began)
                    }))
        }
    }

    /// | variable | type | default |
    /// | --- | --- | --- |
    /// | `NAURA_API_PORT` | 0–65535; 0 takes a free one | 8080 |
    /// | `NAURA_HOST`, `NAURA_TOKEN`, `NAURA_TOKEN_FILE` | as for every worker | `127.0.0.1`, none |
    /// | `NAURA_WEBHOOK_SECRET` | text: what the code host signs its webhooks with | none: their route is shut |
    /// | `NAURA_WEBHOOK_SECRET_FILE` | a file that holds it, instead | none |
    static func read(_ config: ConfigReader) throws -> APIConfiguration {
        let given = config.string(forKey: "api.port", default: "8080")
        guard let port = Int(given), (0...65_535).contains(port) else {
            throw ConfigurationFault(faults: ["NAURA_API_PORT: expected 0…65535, found \(given)"])
        }
        var faults: [String] = []
        let servers = ServerConfiguration(environment: ProcessInfo.processInfo.environment, faults: &faults)
        do {
            return try APIConfiguration(
                host: config.string(forKey: "host", default: "127.0.0.1"), port: port,
                token: servers.token, webhookSecret: try webhookSecret(config))
        } catch let refusal as APIError {
            throw ConfigurationFault(faults: [refusal.message])
        }
    }

    private static func webhookSecret(_ config: ConfigReader) throws -> WebhookSecret? {
        let text = config.string(forKey: "webhook.secret", isSecret: true).flatMap { $0.isEmpty ? nil : $0 }
        let file = config.string(forKey: "webhook.secret.file").flatMap { $0.isEmpty ? nil : $0 }
        guard let file else { return text.flatMap(WebhookSecret.init) }
        guard text == nil else {
            throw ConfigurationFault(faults: [
                "NAURA_WEBHOOK_SECRET and NAURA_WEBHOOK_SECRET_FILE are both set; use one"
            ])
        }
        do {
            return try WebhookSecret(file: file)
        } catch let refusal as APIError {
            throw ConfigurationFault(faults: ["NAURA_WEBHOOK_SECRET_FILE: \(refusal.message)"])
        }
    }
}
