import Hummingbird
import Logging
import NIOCore
import Synchronization

/// The demo's stand-in for the team's chat: takes what `notify` posts and keeps it.
final class WebhookSink: Sendable {
    private let bodies = Mutex<[String]>([])

    /// What was posted so far, the oldest first.
    var messages: [String] { bodies.withLock { $0 } }

    /// Listens on `port` of 127.0.0.1 until the task is cancelled.
    func run(port: Int) async throws {
        let router = Router()
        router.post("/hook") { request, _ in
            let body = try await request.body.collect(upTo: 1 << 20)
            self.bodies.withLock { $0.append(String(buffer: body)) }
            return HTTPResponse.Status.noContent
        }
        // The server calls its own cancellation at the story's end an error.
        var logger = Connection.quiet
        logger.logLevel = .critical
        let server = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: port)), logger: logger)
        try await server.run()
    }
}
