// OpenTelemetry's protocol in its JSON encoding (opentelemetry-proto 1.x, ExportTraceServiceRequest): ids in hex,
// nanoseconds and other 64-bit numbers as decimal text, enums as numbers.

import Foundation
import NauraEvents

enum OTLP {
    /// Who speaks.
    struct Resource: Encodable, Sendable {
        let attributes: [Attribute]

        init(service: String, instance: String) {
            attributes = [
                Attribute("service.name", .text(service)), Attribute("service.instance.id", .text(instance)),
                Attribute("telemetry.sdk.name", .text("naura")), Attribute("telemetry.sdk.language", .text("swift")),
            ]
        }
    }

    /// The body of a request with `spans`, in the order given.
    static func encode(_ spans: [Span], of resource: Resource) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return try encoder.encode(
            Request(resourceSpans: [
                ResourceSpans(resource: resource, scopeSpans: [ScopeSpans(spans: spans.compactMap(WireSpan.init))])
            ]))
    }

    struct Attribute: Encodable, Sendable {
        let key: String
        let value: Value

        init(_ key: String, _ value: Span.Value) {
            self.key = key
            switch value {
            case .text(let text): self.value = Value(stringValue: text, intValue: nil)
            case .number(let number): self.value = Value(stringValue: nil, intValue: String(number))
            }
        }

        struct Value: Encodable, Sendable {
            let stringValue: String?
            let intValue: String?
        }
    }

    private struct Request: Encodable { let resourceSpans: [ResourceSpans] }

    private struct ResourceSpans: Encodable {
        let resource: Resource
        let scopeSpans: [ScopeSpans]
    }

    private struct ScopeSpans: Encodable {
        struct Scope: Encodable { let name: String }
        var scope = Scope(name: "naura")
        let spans: [WireSpan]
    }

    private struct WireSpan: Encodable {
        struct Link: Encodable {
            let traceId: String
            let spanId: String
        }
        struct Status: Encodable {
            /// 0 unset, 2 error.
            let code: Int
            let message: String?
        }

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

        /// Nil for a span without a context of its own.
        init?(_ span: Span) {
            guard let own = Traceparent.ids(of: span.context) else { return nil }
            (traceId, spanId) = (String(own.trace), String(own.span))
            parentSpanId = span.parent.flatMap { Traceparent.ids(of: $0).map { String($0.span) } }
            name = span.name
            kind = span.kind.rawValue
            startTimeUnixNano = Self.nanoseconds(span.start)
            endTimeUnixNano = Self.nanoseconds(max(span.start, span.end))
            attributes = span.attributes.map { Attribute($0.key, $0.value) }
            links = span.links.compactMap {
                Traceparent.ids(of: $0).map { Link(traceId: String($0.trace), spanId: String($0.span)) }
            }
            status = Status(code: span.failure == nil ? 0 : 2, message: span.failure)
        }

        private static func nanoseconds(_ date: Date) -> String {
            String(Int64((date.timeIntervalSince1970 * 1_000_000).rounded()) * 1_000)
        }
    }
}
