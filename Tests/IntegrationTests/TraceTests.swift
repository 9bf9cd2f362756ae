import Configuration
import Foundation
import FoundationNetworking
import Logging
import NauraEvents
import NauraPostgres
import NauraTestKit
import Testing

@testable import NauraStage

@Suite("Traces")
struct TraceConfigurationTests {
    private func read(_ variables: [String: String]) throws -> TraceConfiguration? {
        try TraceConfiguration(ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: variables)))
    }

    @Test("without an endpoint nothing is configured; the general endpoint gets the path, the one for traces is whole")
    func endpoint() throws {
        #expect(try read([:]) == nil)
        #expect(try read(["OTEL_EXPORTER_OTLP_ENDPOINT": ""]) == nil)
        for base in ["http://collector:4318", "http://collector:4318/"] {
            #expect(try read(["OTEL_EXPORTER_OTLP_ENDPOINT": base])?.endpoint == "http://collector:4318/v1/traces")
        }
        let both = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://b/x"]
        #expect(try read(both)?.endpoint == "https://b/x")
    }

    @Test("headers are percent-decoded; a faulty one, address or protocol is told, a header's value never")
    func headers() throws {
        let endpoint = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"]
        let headers = try read(endpoint.merging(["OTEL_EXPORTER_OTLP_HEADERS": "a=b%3Dc, d = e"]) { $1 })?.headers
        #expect(headers?.map(\.name) == ["a", "d"])
        #expect(headers?.map(\.value) == ["b=c", "e"])
        for fault in [
            ["OTEL_EXPORTER_OTLP_HEADERS": "s3cret"], ["OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"],
            ["OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"],
        ] {
            let found = #expect(throws: ConfigurationFault.self) { try read(endpoint.merging(fault) { $1 }) }
            #expect(found?.description.contains("s3cret") == false)
        }
    }

    private static func span(_ number: Int, start: Date = Date(timeIntervalSince1970: 1_764_000_000.000_001)) -> Span {
        Span(
            context: Traceparent.child(of: nil, root: "root", span: "\(number)"), parent: nil, name: "span",
            kind: .internal, start: start, end: start, attributes: [("n", .number(number))])
    }

    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test("a span is encoded as OTLP's JSON wants it: hex ids, nanoseconds and integers as text")
    func encoding() throws {
        var span = Self.span(7)
        span.links = ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
        span.failure = "it broke"
        let text = String(
            decoding: try OTLP.encode([span], of: OTLP.Resource(service: "naura-x", instance: "x@host")),
            as: UTF8.self)
        let ids = try #require(Traceparent.ids(of: span.context))
        for part in [
            #""key":"service.name","value":{"stringValue":"naura-x"}"#, #""traceId":"\#(ids.trace)""#,
            #""spanId":"\#(ids.span)""#, #""startTimeUnixNano":"1764000000000001000""#,
            #"{"key":"n","value":{"intValue":"7"}}"#, #""kind":1"#, #""scope":{"name":"naura"}"#,
            #""links":[{"spanId":"00f067aa0ba902b7","traceId":"4bf92f3577b34da6a3ce929d0e0e4736"}]"#,
            #""status":{"code":2,"message":"it broke"}"#,
        ] { #expect(text.contains(part), "\(part) is not in \(text)") }
        #expect(!text.contains("parentSpanId"))
    }

    @Test("a full queue drops the newest spans and counts them; whoever records never waits for the collector")
    func full() async throws {
        var configuration = try #require(try read(["OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"]))
        configuration.queueSpansMax = 100
        let metrics = Metrics()
        let tracer = Tracer(configuration, service: "s", instance: "i", metrics: metrics, logger: Self.quiet)
        for number in 0..<130 { tracer.record([Self.span(number)]) }
        #expect(await metrics.text().contains("naura_spans_dropped_total 30.0"))
    }

    @Test("a collector that is busy gets the spans again; what it refuses for good is counted as dropped")
    func refused() async throws {
        let receiver = try TraceReceiver(statuses: [503, 200, 400])
        defer { receiver.close() }
        var configuration = try #require(try read(receiver.environment))
        configuration.batchSpansMax = 10
        configuration.interval = .milliseconds(10)
        let metrics = Metrics()
        let tracer = Tracer(configuration, service: "s", instance: "i", metrics: metrics, logger: Self.quiet)
        tracer.record((0..<20).map { Self.span($0) })
        let running = Task { try await tracer.run() }
        defer { running.cancel() }
        let isTold = try await eventually {
            let text = await metrics.text()
            return text.contains("naura_spans_exported_total 10.0") && text.contains("naura_spans_dropped_total 10.0")
        }
        let told = await metrics.text()
        #expect(isTold, "\(told)")
        // The first batch, again, and the second.
        #expect(try receiver.spans().compactMap { Int($0.attributes["n"] ?? "") } == Array(0..<10) + Array(0..<20))
    }
}

@Suite(
    "Traces of a run", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct TraceTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let caller = "00-\(trace)-00f067aa0ba902b7-01"

    /// Publishes over HTTP in the trace of `caller`.
    private func publish(_ command: String, _ number: Int, to address: String) async throws -> String {
        struct Accepted: Decodable { let id: String }
        var request = URLRequest(url: try #require(URL(string: "\(address)/api/v1/events/new-data")))
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "content-type")
        request.setValue(Self.caller, forHTTPHeaderField: "traceparent")
        request.httpBody = Data(#"{"dataset":"one","uri":"file:///\#(command)/\#(number)"}"#.utf8)
        let (data, _) = try await URLSession.shared.data(for: request)
        return try JSONDecoder().decode(Accepted.self, from: data).id
    }

    @Test("one trace leads from the publisher through outbox, stages and jobs to the last effect; retries are links")
    func whole() async throws {
        let receiver = try TraceReceiver()
        defer { receiver.close() }
        try await RuntimeHarness.with { harness in
            let workers = try await start(harness, receiver.environment)
            let address = try await address(of: workers.api)
            // The event and its job say one each.
            _ = try await publish("job", 5, to: address)
            #expect(try await harness.waitFor(2, in: "probe.sink"))
            // Fails twice.
            _ = try await publish("flaky", 7, to: address)
            #expect(try await harness.waitFor(3, in: "probe.sink"))
            // Says a dead letter, which nobody reads here.
            _ = try await publish("reject", 9, to: address)
            #expect(try await harness.waitFor(1, in: "ledger.dead_letter"))
            for worker in [workers.probe, workers.sink, workers.api] { #expect(await worker.stop() == 0) }
            // What a worker says at its end is on its way when it has ended.
            let spans = try receiver.spans(of: Self.trace)
            #expect(try receiver.spans().count == spans.count, "some spans are of another trace")
            let counts = Dictionary(grouping: spans, by: \.name).mapValues(\.count)
            #expect(
                counts == [
                    "publish new-data": 3, "probe": 6, "publish retrain-due": 3, "sink": 3, "probe-job": 1,
                    "publish dead-letter": 1,
                ])
            check(spans)
            #expect(receiver.requests.allSatisfy { $0.headers["x-tenant"] == "a team" })
        }
    }

    private func check(_ spans: [TraceReceiver.Span]) {
        let byID = Dictionary(spans.map { ($0.spanID, $0) }) { first, _ in first }
        #expect(byID.count == spans.count, "an id stands twice")
        for span in spans {
            #expect(span.start > 0 && span.end >= span.start)
            let parent = span.parentID.flatMap { byID[$0] }
            switch span.name {
            case "publish new-data":
                #expect(span.parentID == "00f067aa0ba902b7")
                #expect(span.kind == 4 && span.service == "naura-api")
            case "probe":
                #expect(parent?.name == "publish new-data")
                #expect(span.kind == 5 && span.service == "naura-probe")
            case "probe-job", "publish dead-letter": #expect(parent?.name == "probe")
            case "publish retrain-due": #expect(parent?.name == "probe" || parent?.name == "probe-job")
            default: #expect(parent?.name == "publish retrain-due")
            }
        }
        // The flaky event failed twice; the try that settled it links to both, and they are not its children.
        let failed = spans.filter { $0.name == "probe" && $0.hasFailed && $0.links.isEmpty }
        let settled = spans.first { $0.name == "probe" && $0.links.count == 2 }
        #expect(settled?.hasFailed == false)
        let links = Set(settled?.links.map(\.spanID) ?? [])
        #expect(links.count == 2 && links.isSubset(of: failed.map(\.spanID)))
    }

    @Test("without an endpoint nothing is sent, and the trace is carried on all the same")
    func off() async throws {
        try await RuntimeHarness.with { harness in
            let workers = try await start(harness, [:])
            let id = try await publish("job", 5, to: try await address(of: workers.api))
            #expect(try await harness.waitFor(2, in: "probe.sink"))
            #expect(
                try await harness.count("ledger.outbox", "traceparent like '00-\(Self.trace)-%'") == 3)
            #expect(try await harness.count("ledger.outbox", "root_id = '\(id)'") == 3)
            for worker in [workers.probe, workers.sink, workers.api] { #expect(await worker.stop() == 0) }
        }
    }

    private func start(
        _ harness: RuntimeHarness, _ environment: [String: String]
    ) async throws -> (probe: WorkerProcess, sink: WorkerProcess, api: WorkerProcess) {
        let probe = try await harness.startReady("probe", environment)
        let sink = try await harness.startReady("sink", environment)
        let api = try WorkerProcess(
            "api",
            environment: [
                "NAURA_DATABASE_URL": harness.databaseURL, "NAURA_KAFKA_BROKERS": harness.broker.brokers,
                "NAURA_ARTIFACTS": "/tmp", "NAURA_API_PORT": "0",
            ].merging(environment) { $1 })
        return (probe, sink, api)
    }

    private func address(of api: WorkerProcess) async throws -> String {
        let pattern = /"message":"the page is served","address":"([^"]+)"/
        guard try await eventually(within: .seconds(20), { api.log.contains(pattern) }),
            let match = api.log.firstMatch(of: pattern)
        else { throw HarnessError(description: "the api does not listen:\n\(api.log)") }
        return "http://\(match.output.1)"
    }
}
