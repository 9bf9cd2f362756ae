import AsyncHTTPClient
import Foundation
import Logging
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import notify

@Suite("People are told", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct NotifyTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let sender = SendNotification(client: .shared, logger: quiet)

    /// A database with the model `churn`, whose people listen at `sink` and in the log, and `quiet`, which tells
    /// nobody.
    private func with(_ sink: WebhookSink, _ body: (Database) async throws -> Void) async throws {
        defer { sink.close() }
        let views = TrainFixture.views
        var churn = TrainFixture.model
        churn.notify = ["on-call"]
        var other = TrainFixture.model
        other.name = "quiet"
        other.label = LabelDefinition(dataset: "others", column: "churn")
        other.features = []
        let project = ProjectDefinition(
            name: "shop",
            datasets: [
                "customers": DatasetDefinition(name: "customers", key: "customerid"),
                "others": DatasetDefinition(name: "others", key: "id"),
            ], featureViews: Dictionary(uniqueKeysWithValues: views.map { ($0.name, $0) }),
            models: ["churn": churn, "quiet": other],
            notify: ["on-call": .webhook(url: sink.url), "diary": .log])
        try await TestDatabase.with { database in
            try await database.transaction {
                _ = try await Projects.apply(project, sha256: "a", source: "", by: "test", in: $0)
            }
            try await body(database)
        }
    }

    private func messages(_ sink: WebhookSink) throws -> [SendNotification.Message] {
        try sink.requests.map { try JSONDecoder().decode(SendNotification.Message.self, from: $0.body) }
    }

    private static let rejected = DataRejected(
        dataset: "customers", uri: "file:///data/bad.csv",
        violations: [
            .init(rule: "column-missing", column: "tenure", count: 1, message: "the column tenure is missing")
        ],
        reason: "1 rule is broken")

    @Test("the team is told once of rejected data, by the channel that the dataset's model names")
    func tellsOnce() async throws {
        let sink = try WebhookSink()
        try await with(sink) { database in
            for _ in 0..<2 {
                try await handle(Self.rejected, by: TellOfRejectedData(), id: "event-1", in: database)
                try await runJobs(of: Self.sender, in: database)
            }
            let messages = try messages(sink)
            #expect(messages.count == 1)
            #expect(messages.first?.subject == "Data of customers was rejected")
            #expect(messages.first?.text.contains("the column tenure is missing") == true)
            #expect(messages.first?.text.contains("file:///data/bad.csv") == true)
            #expect(messages.first?.type == "data-rejected")
            #expect(sink.requests.first?.headers["idempotency-key"] == "shop/on-call/event-1")
            let rows = try await database.query("select channel, sent_at from naura.notification limit 9")
            #expect(try rows.map { try $0.get("channel", as: String.self) } == ["shop/on-call"])
            #expect(try rows.first?.isNull("sent_at") == false)
        }
    }

    @Test("a webhook that is away gets the message later, with the same key")
    func triesAgain() async throws {
        let sink = try WebhookSink(statuses: [503])
        try await with(sink) { database in
            try await handle(Self.rejected, by: TellOfRejectedData(), id: "event-1", in: database)
            await #expect(throws: WebhookFault.self) { try await runJobs(of: Self.sender, in: database) }
            try await database.update("update ledger.job set state = 'waiting'")
            try await runJobs(of: Self.sender, in: database)
            #expect(
                sink.requests.map { $0.headers["idempotency-key"] }
                    == .init(repeating: "shop/on-call/event-1", count: 2))
        }
    }

    @Test("a webhook that refuses is not asked again, and that is no news for the same webhook")
    func refused() async throws {
        let sink = try WebhookSink(statuses: [404])
        try await with(sink) { database in
            try await handle(Self.rejected, by: TellOfRejectedData(), id: "event-1", in: database)
            await #expect(throws: Rejection.self) { try await runJobs(of: Self.sender, in: database) }
            let letter = DeadLetter(
                stage: StageName(rawValue: SendNotification.kind.rawValue), topic: nil, key: "shop/on-call",
                code: "webhook-refused", message: "", tries: 1)
            let told = try await handle(letter, by: TellOfDeadLetter(), id: "event-2", in: database)
            #expect(told.jobs.isEmpty)
        }
    }

    @Test("alerts, refused models, the ends of rollouts and dead letters are told; steps and unchanged models are not")
    func tellsWhatMatters() async throws {
        let sink = try WebhookSink()
        try await with(sink) { database in
            let alert = DriftAlert(
                model: "churn", version: 3, kind: .data, window: TimeWindow(from: Date(), to: Date()),
                columns: [.init(name: "tenure", method: "psi", statistic: 0.5, threshold: 0.1)], state: .firing,
                reason: "1 of 3 columns")
            try await handle(alert, by: TellOfDrift(), id: "event-1", in: database)
            for (index, verdict) in ["rejected", "unchanged"].enumerated() {
                let evaluation = EvaluationSummary(verdict: verdict, metric: "roc-auc", reason: "because")
                try await handle(
                    ModelRejected(model: "churn", version: 4, evaluation: evaluation), by: TellOfRejectedModel(),
                    id: EventID(rawValue: "event-2\(index)"), in: database)
            }
            for (index, state) in RolloutChanged.State.allCases.enumerated() {
                let changed = RolloutChanged(
                    model: "churn", version: 5, rollout: 1, state: state, weight: 0.25, verdict: "", reason: "evidence")
                try await handle(
                    changed, by: TellOfRollout(), id: EventID(rawValue: "event-3\(index)"), in: database)
            }
            try await handle(
                DeadLetter(
                    stage: "validate", topic: "new-data", key: "customers", code: "bad", message: "no", tries: 1),
                by: TellOfDeadLetter(), id: "event-4", in: database)
            try await runJobs(of: Self.sender, in: database)
            let subjects = try messages(sink).map(\.subject)
            #expect(
                Set(subjects) == [
                    "Traffic of churn drifts (version 3)", "Version 4 of churn was rejected",
                    "Version 5 of churn is held at 25 % of the traffic", "Version 5 of churn serves everyone",
                    "Version 5 of churn was taken back", "validate gave up on new-data of customers",
                ])
            #expect(subjects.count == 6)
        }
    }

    @Test("a model without channels tells nobody, and something that nobody owns tells everybody")
    func findsPeople() async throws {
        let sink = try WebhookSink()
        try await with(sink) { database in
            let changed = RolloutChanged(
                model: "quiet", version: 1, rollout: 1, state: .completed, weight: 1, verdict: "", reason: "")
            #expect(try await handle(changed, by: TellOfRollout(), id: "event-1", in: database).jobs.isEmpty)
            let letter = DeadLetter(
                stage: "validate", topic: "new-data", key: "nobody's", code: "bad", message: "", tries: 1)
            let told = try await handle(letter, by: TellOfDeadLetter(), id: "event-2", in: database)
            #expect(told.jobs.map(\.key).sorted() == ["shop/diary/event-2", "shop/on-call/event-2"])
            try await runJobs(of: Self.sender, in: database)
            let unsent = try await database.query("select id from naura.notification where sent_at is null limit 9")
            #expect(unsent.isEmpty)
        }
    }
}
