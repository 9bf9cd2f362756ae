import Hummingbird
import Logging
public import NauraPostgres
public import ServiceLifecycle

/// The services of a gateway, in the order in which they start; they end in the reverse order.
public enum ServingServer {
    /// All that a process needs to serve: the keeper of routes, the reporter of telemetry, and HTTP.
    ///
    /// - Parameter onAddress: told the port once HTTP listens.
    public static func services(
        _ gateway: Gateway, database: Database, sink: any ServingSink,
        onAddress: @escaping @Sendable (Int) async -> Void = { _ in }
    ) -> [any Service] {
        [
            RouteKeeper(gateway: gateway, database: database, logger: gateway.logger),
            Reporter(gateway, sink: sink),
            http(gateway, onAddress: onAddress),
        ]
    }

    /// HTTP alone.
    public static func http(
        _ gateway: Gateway, onAddress: @escaping @Sendable (Int) async -> Void = { _ in }
    ) -> some Service {
        var quiet = gateway.logger
        quiet.logLevel = .warning
        let configuration = gateway.configuration
        return Draining(
            gateway: gateway,
            server: Application(
                responder: GatewayResponder(gateway),
                server: .http1(configuration: .init(idleTimeout: .seconds(120))),
                configuration: .init(address: .hostname(configuration.host, port: configuration.port)),
                onServerRunning: { channel in await onAddress(channel.localAddress?.port ?? configuration.port) },
                logger: quiet))
    }
}

/// Turns readiness off before the server stops taking connections.
private struct Draining<Server: Service>: Service {
    let gateway: Gateway
    let server: Server

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await server.run()
        } onGracefulShutdown: {
            gateway.drain()
        }
    }
}
