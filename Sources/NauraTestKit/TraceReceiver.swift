import Foundation

/// A small collector of traces: takes OTLP/HTTP JSON and keeps the spans.
public final class TraceReceiver: Sendable {
    /// A span as it arrived.
    public struct Span: Sendable {
        public let service: String
        public let traceID: String
        public let spanID: String
        public let parentID: String?
        public let name: String
        /// As OTLP numbers kinds: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
        public let kind: Int
        /// Nanoseconds since 1970.
        public let start: UInt64
        public let end: UInt64
        public let attributes: [String: String]
        public let links: [(traceID: String, spanID: String)]
        public let hasFailed: Bool
    }

    private let sink: WebhookSink

    /// Answers the first requests with `statuses`, and all further ones with 200.
    public init(statuses: [Int] = []) throws { sink = try WebhookSink(statuses: statuses) }

    /// The environment of a worker that exports to this collector.
    public var environment: [String: String] {
        ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": sink.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20team"]
    }

    /// What arrived, as it came.
    public var requests: [WebhookSink.Request] { sink.requests }

    public func close() { sink.close() }

    /// The spans that have arrived.
    /// - Throws: an error when a request is none of OTLP's JSON.
    public func spans() throws -> [Span] { try sink.requests.flatMap { try Self.read($0.body) } }

    /// The spans of one trace.
    public func spans(of traceID: String) throws -> [Span] { try spans().filter { $0.traceID == traceID } }

    private static func read(_ body: Data) throws -> [Span] {
        let request = try JSONDecoder().decode(Request.self, from: body)
        return request.resourceSpans.flatMap { resource in
            let service = resource.resource.attributes.first { $0.key == "service.name" }?.value.text ?? ""
            return resource.scopeSpans.flatMap(\.spans).map { span in
                Span(
                    service: service, traceID: span.traceId, spanID: span.spanId, parentID: span.parentSpanId,
                    name: span.name, kind: span.kind, start: UInt64(span.startTimeUnixNano) ?? 0,
                    end: UInt64(span.endTimeUnixNano) ?? 0,
                    attributes: Dictionary(span.attributes.map { ($0.key, $0.value.text) }) { first, _ in first },
                    links: span.links.map { ($0.traceId, $0.spanId) }, hasFailed: span.status.code == 2)
            }
        }
    }

    private struct Request: Decodable {
        struct Attribute: Decodable {
            struct Value: Decodable {
                let stringValue: String?
                /// OTLP's JSON has 64-bit numbers as text.
                let intValue: String?
                var text: String { stringValue ?? intValue ?? "" }
            }
            let key: String
            let value: Value
        }
        struct Resource: Decodable { let attributes: [Attribute] }
        struct Link: Decodable {
            let traceId: String
            let spanId: String
        }
        struct Status: Decodable { let code: Int }
        struct WireSpan: Decodable {
            let traceId: String
            let spanId: String
            let parentSpanId: String?
            let name: String
            let kind: Int
            let startTimeUnixNano: String
            let endTimeUnixNano: String
            let attributes: [Attribute]
            let links: [Link]
            let status: Status
        }
        struct ScopeSpans: Decodable { let spans: [WireSpan] }
        struct ResourceSpans: Decodable {
            let resource: Resource
            let scopeSpans: [ScopeSpans]
        }
        let resourceSpans: [ResourceSpans]
    }
}
