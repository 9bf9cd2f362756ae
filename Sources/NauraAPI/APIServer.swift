import Crypto
public import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
public import NauraEvents
import NauraPostgres
import NauraRules
import ServiceLifecycle

/// Where the control plane listens, and what it wants from clients.
public struct APIConfiguration: Sendable {
    public let host: String
    /// 0 takes a free port.
    public let port: Int
    /// What every request must carry; nil lets this machine's own programs in, and only them.
    public let token: AccessToken?
    /// What the code host signs its webhooks with; nil keeps their route shut.
    public let webhookSecret: WebhookSecret?

    /// - Throws: ``APIError`` when `host` can be reached from elsewhere and there is no token.
    public init(host: String, port: Int, token: String?, webhookSecret: WebhookSecret? = nil) throws {
        self.host = host
        self.port = port
        self.webhookSecret = webhookSecret
        self.token = token.flatMap(AccessToken.init)
        if let reason = ListenPolicy.check(host: host, hasToken: self.token != nil) {
            throw APIError(.forbidden, .forbidden, reason)
        }
    }
}

/// Told an event that was published for a client, the client's trace context, and when its request came.
public typealias PublishedHandler = @Sendable (_ event: EncodedEvent, _ caller: String?, _ began: Date) -> Void

/// The control plane's HTTP: the page, its live parts, the lists in JSON, publishing and webhooks.
public struct APIServer: Service {
    private let application: Application<RouterResponder<BasicRequestContext>>

    /// - Parameters:
    ///   - onPublished: told each event that was published for a client, once it is safe: the event, the client's trace
    ///     context, and when its request came.
    ///   - onRunning: told the port once it listens.
    /// - Throws: an error when a page cannot be read, which is a fault of the build.
    public init(
        configuration: APIConfiguration, database: Database, logger: Logger,
        onPublished: @escaping PublishedHandler = { _, _, _ in },
        onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
    ) throws {
        let pages = try Pages()
        let live = LiveView(database: database, pages: pages, logger: logger)
        let router = Router()
        router.add(middleware: SecurityHeaders(contentSecurityPolicy: pages.contentSecurityPolicy))
        // Before the guard: a middleware stands before the routes that are added after it.
        let webhook = WebhookRoute(
            secret: configuration.webhookSecret, database: database, logger: logger, onPublished: onPublished)
        router.group("/api/v1/webhooks").add(middleware: Faults(logger: logger)).post("github") { request, _ in
            try await webhook.receive(request)
        }
        router.add(middleware: AccessGuard(token: configuration.token))
        router.add(middleware: Faults(logger: logger))
        router.get("/") { _, _ in
            Self.html(await live.page())
        }
        router.get("/page.css") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/css; charset=utf-8", .cacheControl: "no-cache"],
                body: .init(byteBuffer: ByteBuffer(string: pages.css)))
        }
        router.get("/events") { request, _ in EventStream(live: live).response(to: request) }
        let group = router.group("/api/v1")
        ListRoutes(database: database).add(to: group)
        group.post("events/:type") { request, context in
            try await PublishRoute(database: database, onPublished: onPublished).publish(
                request, type: context.parameters.require("type"))
        }
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        application = Application(
            router: router,
            configuration: .init(address: .hostname(configuration.host, port: configuration.port), serverName: nil),
            services: [live],
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? configuration.port
                logger.notice("the page is served", metadata: ["address": "\(configuration.host):\(port)"])
                await onRunning(port)
            }, logger: quiet)
    }

    public func run() async throws { try await application.run() }

    private static func html(_ text: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "text/html; charset=utf-8", .cacheControl: "no-store"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }
}
