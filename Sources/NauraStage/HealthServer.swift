// Health and metrics over HTTP: /health/live, /health/ready, /metrics. They carry no secrets and want no token.

import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// What a worker's parts say about its health.
public final class Health: Sendable {
    private let faults = Mutex<[String: String]>(["start": "starting"])

    /// States that `part` is not ready, and why; nil when it is.
    public func set(_ part: String, fault: String?) { faults.withLock { $0[part] = fault } }

    /// What keeps the worker from being ready, by part; empty when it is.
    public var openFaults: [String: String] { faults.withLock { $0 } }
}

enum HealthServer {
    /// An HTTP server on `host:port`; port 0 takes a free one, told to `onAddress`.
    static func service(
        host: String, port: Int, health: Health, metrics: Metrics, logger: Logger,
        onAddress: @escaping @Sendable (Int) async -> Void
    ) -> some Service {
        let router = Router()
        router.get("/health/live") { _, _ in answer(["status": "live"]) }
        router.get("/health/ready") { _, _ in
            let faults = health.openFaults
            return answer(
                faults.isEmpty ? ["status": "ready"] : faults, status: faults.isEmpty ? .ok : .serviceUnavailable)
        }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: .init(byteBuffer: ByteBuffer(string: await metrics.text())))
        }
        var quiet = logger
        quiet.logLevel = .warning
        return Application(
            router: router, configuration: .init(address: .hostname(host, port: port), serverName: nil),
            onServerRunning: { channel in await onAddress(channel.localAddress?.port ?? port) }, logger: quiet)
    }

    private static func answer(_ fields: [String: String], status: HTTPResponse.Status = .ok) -> Response {
        let pairs = fields.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\(escaped($0.value))\"" }
        return Response(
            status: status, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(string: "{\(pairs.joined(separator: ","))}\n")))
    }

    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            switch scalar {
            case "\"": "\\\""
            case "\\": "\\\\"
            case _ where scalar.value < 0x20: " "
            default: String(scalar)
            }
        }.joined()
    }
}
