// The data plane: answers predictions over HTTP by the routes that `rollout` writes. Everything that it does is in
// Sources/NauraServing; here its configuration, its telemetry and its metrics are connected.

import Configuration
import Logging
import NauraRules
import NauraServing
import NauraStage

@main enum ServeWorker {
    static func main() async {
        await Worker.run("serve", outlivesServers: true) { context in
            let configuration = try ServeConfiguration(context)
            let gateway = try Gateway(
                configuration: configuration.serving, features: DatabaseFeatures(context.database),
                logger: context.logger)
            context.metrics.collect { metrics in ServeMetrics.publish(gateway.measurements, to: metrics) }
            let sink = KafkaSink(
                gateway: configuration.serving.name, boot: gateway.bootName, telemetry: context.telemetry)
            let services = ServingServer.services(
                gateway, database: context.database, sink: sink,
                onAddress: { port in
                    context.logger.notice("predictions are served", metadata: ["port": "\(port)"])
                })
            return services.reduce(WorkerParts()) { parts, service in parts.service(service) }
        }
    }
}

/// What `serve` reads from its environment, beside what all workers read.
///
/// | variable | type | default |
/// | --- | --- | --- |
/// | `NAURA_SERVE_PORT` | 0–65535; 0 takes a free one | none |
/// | `NAURA_CACHE` | directory for routes and packages that outlive a restart | none |
/// | `NAURA_GATEWAY` | a name among the gateways, the same at each start | the instance's name |
/// | `NAURA_SERVE_IN_FLIGHT` | 1–100000 requests at a time | 512 |
struct ServeConfiguration {
    let serving: ServingConfiguration

    /// - Throws: ``ConfigurationFault`` with every fault at once.
    init(_ context: WorkerContext) throws {
        let config = context.config
        var faults: [String] = []
        let given = config.string(forKey: "serve.port", default: "nothing")
        let port = Int(given)
        if port.map({ (0...65_535).contains($0) }) != true {
            faults.append("NAURA_SERVE_PORT: expected 0…65535, found \(given)")
        }
        let cache = config.string(forKey: "cache", default: "")
        if cache.isEmpty { faults.append("NAURA_CACHE is not set") }
        let inFlight = config.string(forKey: "serve.in.flight", default: "512")
        if Int(inFlight).map({ (1...100_000).contains($0) }) != true {
            faults.append("NAURA_SERVE_IN_FLIGHT: expected 1…100000, found \(inFlight)")
        }
        let token = context.configuration.token.flatMap { AccessToken($0) }
        if let refusal = ListenPolicy.check(host: context.configuration.host, hasToken: token != nil) {
            faults.append(refusal)
        }
        guard faults.isEmpty else { throw ConfigurationFault(faults: faults) }
        var serving = ServingConfiguration(
            name: config.string(forKey: "gateway", default: context.instance), host: context.configuration.host,
            port: port ?? 0, token: token, cacheDirectory: cache, artifactsDirectory: context.configuration.artifacts)
        serving.inFlightMax = Int(inFlight) ?? serving.inFlightMax
        self.serving = serving
    }
}
