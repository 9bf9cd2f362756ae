import Foundation
import FoundationNetworking
import Logging
import NauraAPI
import NauraPostgres
import NauraTestKit
import ServiceLifecycle
import Synchronization

/// A control plane on a free port, over a database of its own.
struct RunningAPI: Sendable {
    let address: String
    let database: Database

    /// Runs `body` against a server, and stops the server in order afterwards.
    static func with<R: Sendable>(
        token: String? = nil, webhookSecret: String? = nil,
        _ body: @Sendable @escaping (RunningAPI) async throws -> R
    ) async throws -> R {
        try await TestDatabase.with(connectionsMax: 8) { database in
            try await with(database, token: token, webhookSecret: webhookSecret, body)
        }
    }

    /// The same over a database that the test has made itself.
    static func with<R: Sendable>(
        _ database: Database, token: String? = nil, webhookSecret: String? = nil,
        _ body: @Sendable @escaping (RunningAPI) async throws -> R
    ) async throws -> R {
        let (ports, told) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "api-test")
        logger.logLevel = .critical
        let server = try APIServer(
            configuration: APIConfiguration(
                host: "127.0.0.1", port: 0, token: token, webhookSecret: webhookSecret.flatMap(WebhookSecret.init)),
            database: database,
            logger: logger, onRunning: { told.yield($0) })
        let group = ServiceGroup(configuration: .init(services: [.init(service: server)], logger: logger))
        return try await withThrowingTaskGroup(of: R?.self) { tasks in
            tasks.addTask {
                try await group.run()
                told.finish()
                return nil
            }
            tasks.addTask {
                var iterator = ports.makeAsyncIterator()
                guard let port = await iterator.next() else { throw CancellationError() }
                let result: R
                do {
                    result = try await body(
                        RunningAPI(address: "http://127.0.0.1:\(port)", database: database))
                } catch {
                    await group.triggerGracefulShutdown()
                    throw error
                }
                await group.triggerGracefulShutdown()
                return result
            }
            var result: R?
            while let finished = try await tasks.next() { result = finished ?? result }
            guard let result else { throw CancellationError() }
            return result
        }
    }

    struct Answer: Sendable {
        let status: Int
        let headers: [String: String]
        let body: Data

        var text: String { String(decoding: body, as: UTF8.self) }
        func json<T: Decodable>(as type: T.Type = T.self) throws -> T { try JSONDecoder().decode(T.self, from: body) }
    }

    /// Sends a request; redirects are not followed.
    func send(
        _ path: String, method: String = "GET", headers: [String: String] = [:], body: String? = nil
    ) async throws -> Answer {
        guard let url = URL(string: address + path) else { throw URLError(.badURL) }
        var request = URLRequest(url: url)
        request.httpMethod = method
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        request.httpBody = body.map { Data($0.utf8) }
        let session = URLSession(configuration: .ephemeral, delegate: StayHere(), delegateQueue: nil)
        defer { session.finishTasksAndInvalidate() }
        let (data, response) = try await session.data(for: request)
        guard let http = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
        let pairs = http.allHeaderFields.map { ("\($0.key)".lowercased(), "\($0.value)") }
        return Answer(
            status: http.statusCode, headers: Dictionary(pairs, uniquingKeysWith: { first, _ in first }), body: data)
    }
}

private final class StayHere: NSObject, URLSessionTaskDelegate {
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) { completionHandler(nil) }
}
