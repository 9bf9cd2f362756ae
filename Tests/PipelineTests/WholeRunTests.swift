import AsyncHTTPClient
import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraTestKit
import Testing

/// One undisturbed run of the composed system, looked at from outside: by a collector of traces, and by another
/// language's CloudEvents SDK.
@Suite(
    "A whole run from outside", .serialized, .timeLimit(.minutes(5)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct WholeRunTests {
    private static let secret = "webhook secret of a test"
    private static let commit = "6dcb09b5b57875f334f61aebed695e2e4193db5e"

    @Test(
        """
        A merge told by a webhook becomes a served model in one trace with a span a stage, and the SDK cloudevents \
        accepts every record on every topic
        """)
    func whole() async throws {
        let data = try SampleData.write(files: 1)
        defer { data.remove() }
        let receiver = try TraceReceiver()
        defer { receiver.close() }
        try await TestDatabase.withURL { url in
            let system = try await PipelineSystem(
                databaseURL: url,
                environment: receiver.environment.merging(["NAURA_WEBHOOK_SECRET": Self.secret]) { $1 })
            do {
                try await run(system, data, receiver)
            } catch {
                let logs = system.logs
                try await system.end()
                throw PipelineFailure(description: "\(error)\n\(logs)")
            }
        }
    }

    private func run(_ system: PipelineSystem, _ data: SampleData, _ receiver: TraceReceiver) async throws {
        // Only merges train: the trace of the data ends at its features, the merge's goes on to the gateway.
        try await system.apply(data.projectFile) { project in
            for name in project.models.keys {
                project.models[name]?.retrain.on = [.codeMerged]
                project.models[name]?.code = CodeScope(repository: "acme/deliveries", paths: ["features/**"])
            }
        }
        try system.start(instances: 1)
        let api = try await system.address(of: "api", said: /"message":"the page is served","address":"([^"]+)"/)
        try await system.publish(data.files[0], dataset: data.dataset)
        try #require(
            try await eventually {
                let read = try await system.count("naura.read_point")
                let open = try await system.openWork()
                return read == 1 && open.isEmpty
            })
        let merge = try await push(to: api)
        try #require(try await system.waitUntilSettled(data.files[0], requests: 1, within: .seconds(120)))
        try #require(try await system.count("naura.model_alias where alias = 'champion'") == 1)
        try await checkTrace(of: merge, system, receiver)
        try await sayTheRest(system, data)
        if Interop.hasSDK {
            try await checkRecords(system)
        } else {
            // Said aloud: the other half of this test needs only our own programs.
            print("the records were not held against the SDK: \(Interop.sdkRequirement)")
        }
        let codes = try await system.end()
        #expect(codes.allSatisfy { $0 == 0 }, "a worker did not end in order: \(codes)")
    }

    /// A push as GitHub sends it. Returns the event's id.
    private func push(to address: String) async throws -> String {
        struct Accepted: Decodable { let id: String }
        let body = Data(
            #"""
            {"ref": "refs/heads/main", "before": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d", "after": "\#(Self.commit)",
             "created": false, "deleted": false, "forced": false, "repository": {"full_name": "acme/deliveries"},
             "commits": [{"id": "\#(Self.commit)", "added": [], "removed": [], "modified": ["features/distance.sql"]}]}
            """#.utf8)
        let code = HMAC<SHA256>.authenticationCode(for: body, using: SymmetricKey(data: Data(Self.secret.utf8)))
        var request = HTTPClientRequest(url: "http://\(address)/api/v1/webhooks/github")
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "x-github-event", value: "push")
        request.headers.add(name: "x-github-delivery", value: UUID().uuidString)
        request.headers.add(
            name: "x-hub-signature-256", value: "sha256=" + code.map { String(format: "%02x", $0) }.joined())
        request.body = .bytes(ByteBuffer(bytes: body))
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
        let answer = try await response.body.collect(upTo: 10_000)
        return try JSONDecoder().decode(Accepted.self, from: Data(answer.readableBytesView)).id
    }

    // MARK: - The trace

    private func checkTrace(of merge: String, _ system: PipelineSystem, _ receiver: TraceReceiver) async throws {
        let events = try await EventLog.chain(of: merge, in: system.database)
        #expect(
            Set(events.map(\.row.type)) == ["code-merged", "model-trained", "model-promoted", "rollout-changed"])
        let root = try #require(try await LedgerOverview.published(EventID(merge), in: system.database))
        let trace = String(try #require(root.envelope.traceparent.flatMap(Traceparent.ids)).trace)
        for event in events {
            let said = try await LedgerOverview.published(EventID(event.row.id), in: system.database)
            let own = said?.envelope.traceparent.flatMap(Traceparent.ids)?.trace
            #expect(own.map(String.init) == trace, "\(event.row.type) \(event.row.id) is of another trace")
        }
        let names: Set = [
            "publish code-merged", "train-code-merged", "train", "publish model-trained", "promote", "evaluate",
            "publish model-promoted", "start-rollout", "publish rollout-changed", "notify-rollout-changed",
        ]
        let isWhole = try await eventually(within: .seconds(20)) {
            Set(try receiver.spans(of: trace).map(\.name)).isSuperset(of: names)
        }
        let spans = try receiver.spans(of: trace)
        #expect(isWhole, "missing: \(names.subtracting(spans.map(\.name)))")
        // Each event was published once and handled once by each of its stages.
        for event in events {
            let own = spans.filter { $0.attributes["cloudevents.event_id"] == event.row.id }
            #expect(own.filter { $0.kind == 4 }.count == 1, "\(event.row.type)")
            #expect(own.filter { $0.kind == 5 && !$0.hasFailed }.count == 1, "\(event.row.type)")
        }
        let known = Set(spans.map(\.spanID))
        #expect(known.count == spans.count, "an id stands twice")
        let roots = spans.filter { $0.parentID == nil }
        #expect(roots.map(\.name) == ["publish code-merged"])
        for span in spans {
            if let parent = span.parentID { #expect(known.contains(parent), "the parent of \(span.name) is missing") }
        }
        #expect(
            Set(spans.map(\.service)) == ["naura-api", "naura-train", "naura-promote", "naura-rollout", "naura-notify"])
    }

    // MARK: - The records

    /// Has the workers say one event of each type that the run so far has not brought.
    private func sayTheRest(_ system: PipelineSystem, _ data: SampleData) async throws {
        let model = try #require(
            try await system.database.query("select model from naura.model_alias").first?.get("model", as: String.self))
        let id = ModelID(rawValue: model)
        // Data of a dataset that nobody knows is rejected, a retraining of an unknown model a dead letter, the promotion
        // of the champion refused.
        try await system.say(NewData(dataset: "unknown", uri: "file:///nowhere.csv"))
        try await system.say(RetrainDue(model: "unknown", requestedBy: "test", reason: "none"))
        try await system.say(ModelPromoted(model: id, version: 1, requestedBy: "test", reason: "again"))
        let window = TimeWindow(from: Date(timeIntervalSinceNow: -60), to: Date())
        try await system.say(
            DriftAlert(model: id, version: 1, kind: .data, window: window, columns: [], state: .resolved))
        try await system.say(
            GroundTruth(model: id, items: [.init(unit: "d1", at: window.from, label: "yes", observedAt: window.to)]))
        try await predict(system, model: model)
        #expect(
            try await eventually {
                let types = ["data-rejected", "dead-letter", "model-rejected"]
                for type in types where try await system.count("ledger.outbox where type = '\(type)'") == 0 {
                    return false
                }
                return try await Outbox.depth(in: system.database) == 0
            })
    }

    /// Asks the gateway for some predictions, so that it says what it answered.
    private func predict(_ system: PipelineSystem, model: String) async throws {
        let port = try await system.address(of: "serve", said: /"message":"predictions are served","port":"(\d+)"/)
        let row = #"{"distance": 420.5, "weight": 12, "carrier": "west", "region": "A", "fragile": "no"}"#
        var last = "no answer"
        let isAnswered = try await eventually(within: .seconds(20)) {
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/v1/models/\(model):predict")
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: #"{"instances": [\#(row)]}"#))
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
            last = String(buffer: try await response.body.collect(upTo: 100_000))
            return response.status == .ok
        }
        #expect(isAnswered, "\(last)")
        #expect(try await eventually { try await system.count("naura.prediction") > 0 })
    }

    private func checkRecords(_ system: PipelineSystem) async throws {
        let topics = EventCatalogue.types.map(\.rawValue)
        let counts = try await Interop.accept(topics, at: system.broker.brokers)
        // Windows are said of canaries alone, and a first model has none.
        for topic in topics where topic != ServingWindow.type.rawValue {
            #expect(counts[topic, default: 0] > 0, "\(topic) has no record")
        }
        #expect(counts.count == topics.count)
    }
}
