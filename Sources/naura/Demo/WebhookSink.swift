import Foundation
import Hummingbird
import Logging
import NIOCore
import Synchronization

/// The demo's stand-in for the team's chat: takes what `notify` posts and keeps it.
final class WebhookSink: Sendable {
    /// A message as `notify` posts it.
    struct Message: Decodable, Sendable {
        /// The event that it tells of.
        let event: String
        let subject: String
        let body: String
    }

    private let received = Mutex<[Message]>([])

    /// The messages about the event `id`, the oldest first.
    func messages(about id: String) -> [Message] { received.withLock { $0.filter { $0.event == id } } }

    /// Listens on `port` of 127.0.0.1 until the task is cancelled.
    func run(port: Int) async throws {
        let router = Router()
        router.post("/hook") { request, _ in
            let body = try await request.body.collect(upTo: 1 << 20)
            let message = try JSONDecoder().decode(Message.self, from: Data(body.readableBytesView))
            self.received.withLock { $0.append(message) }
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
