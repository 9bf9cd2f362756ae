// Spans on their way out: a bounded queue that never makes anybody wait, emptied in the background.

import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NauraEvents
import ServiceLifecycle
import Synchronization

/// Exports spans as OTLP/HTTP JSON. There is one only where an endpoint is configured.
///
/// ``record(_:)`` puts them into a queue and returns. A full queue drops the newest, counted. A collector that is away
/// or answers with an error costs spans, never an event.
public final class Tracer: Service {
    private let configuration: TraceConfiguration
    private let resource: OTLP.Resource
    private let metrics: Metrics
    private let logger: Logger
    private let queue = Mutex<(spans: [Span], dropped: Int)>(([], 0))

    init(
        _ configuration: TraceConfiguration, service: String, instance: String, metrics: Metrics, logger: Logger
    ) {
        self.configuration = configuration
        resource = OTLP.Resource(service: service, instance: instance)
        self.metrics = metrics
        self.logger = logger
        metrics.collect { [weak self] metrics in
            guard let self else { return }
            metrics.counter("naura_spans_dropped_total", [:], Double(queue.withLock { $0.dropped }))
        }
    }

    /// Notes that `event`, whose `traceparent` names its span, was published for a client: begun at `start`, safe now.
    ///
    /// - Parameter parent: the client's own trace context, where it sent one.
    public func published(_ event: EncodedEvent, parent: String?, start: Date) {
        if let span = Span.publishing(event.envelope, parent: parent, start: start, end: Date()) { record([span]) }
    }

    /// Notes that a try of an event failed. Returns its context, for the next try to link to.
    func failed(
        _ event: Envelope, at stage: StageName, attempt: String, start: Date, failure: String
    ) -> String {
        let span = Span.handling(
            event, at: stage, attempt: attempt, batch: 1, start: start, end: Date(), failure: failure)
        record([span])
        return span.context
    }

    func record(_ spans: [Span]) {
        guard !spans.isEmpty else { return }
        queue.withLock { queue in
            let room = max(0, configuration.queueSpansMax - queue.spans.count)
            queue.spans += spans.prefix(room)
            queue.dropped += max(0, spans.count - room)
        }
    }

    /// Sends what the queue holds each second until the worker stops, and then what is left, within three seconds.
    public func run() async throws {
        var isAway = false
        while !Task.isCancelled {
            let isEnding = Task.isShuttingDownGracefully
            let wasAway = isAway
            isAway = await !drain(timeout: isEnding ? .seconds(3) : .seconds(10), isTold: wasAway)
            if wasAway, !isAway { logger.notice("traces are exported again") }
            if isEnding { return }
            do {
                try await cancelWhenGracefulShutdown { [configuration] in
                    try await Task.sleep(for: configuration.interval)
                }
            } catch is CancellationError {
                // The worker stops, which is what the loop looks for next.
            }
        }
    }

    /// Sends batch after batch until the queue is empty. False when the collector did not take one: it is kept then, and
    /// sent again later, unless the collector says that it never will.
    private func drain(timeout: TimeAmount, isTold: Bool) async -> Bool {
        while true {
            let batch = queue.withLock { Array($0.spans.prefix(configuration.batchSpansMax)) }
            guard !batch.isEmpty else { return true }
            let (outcome, why) = await send(batch, timeout: timeout)
            if outcome != .later {
                queue.withLock { queue in
                    queue.spans.removeFirst(batch.count)
                    if outcome == .refused { queue.dropped += batch.count }
                }
            }
            if outcome == .taken {
                metrics.count("naura_spans_exported_total", by: Double(batch.count))
                continue
            }
            if !isTold { logger.warning("traces cannot be exported", metadata: ["error": "\(why)"]) }
            return false
        }
    }

    private enum Outcome { case taken, later, refused }

    private func send(_ batch: [Span], timeout: TimeAmount) async -> (Outcome, why: String) {
        do {
            var request = HTTPClientRequest(url: configuration.endpoint)
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/json")
            for (name, value) in configuration.headers { request.headers.replaceOrAdd(name: name, value: value) }
            request.body = .bytes(ByteBuffer(bytes: try OTLP.encode(batch, of: resource)))
            let response = try await HTTPClient.shared.execute(request, timeout: timeout)
            // Read to its end, so that the connection can be used again.
            for try await _ in response.body {}
            switch response.status.code {
            case 200..<300: return (.taken, "")
            case 408, 429, 502, 503, 504: return (.later, "the collector answered \(response.status.code)")
            default: return (.refused, "the collector answered \(response.status.code)")
            }
        } catch let error as EncodingError {
            return (.refused, "\(error)")
        } catch {
            return (.later, "\(error)")
        }
    }
}
