import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraModels
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import promote
@testable import train

/// A database with the model `churn` over made-up customers, and an artifact store; both go with the closure.
struct TrainFixture {
    let database: Database
    let artifacts: ArtifactStore
    let folder: String
    var history: FeatureHistory { FeatureHistory(database) }
    var trainer: TrainModel { TrainModel(history: history, artifacts: artifacts, host: "test") }
    var gate: EvaluateCandidate { EvaluateCandidate(history: history, artifacts: artifacts) }

    static func with(
        change: (inout ModelDefinition) -> Void = { _ in }, _ body: (TrainFixture) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-test-\(UUID().uuidString)")
        defer {
            do { try FileManager.default.removeItem(at: folder) } catch {
                Issue.record("\(folder.path) stays: \(error)")
            }
        }
        let artifacts = try ArtifactStore(directory: folder.path)
        var model = self.model
        change(&model)
        try await TestDatabase.with { database in
            let fixture = TrainFixture(database: database, artifacts: artifacts, folder: folder.path)
            try await fixture.apply(model)
            try await body(fixture)
        }
    }

    static var model: ModelDefinition {
        ModelDefinition(
            name: "churn", label: LabelDefinition(dataset: "customers", column: "churn", positive: "Yes"),
            features: ["profile"],
            trainer: .xgboost(XGBoostParameters(rounds: 15, maxDepth: 3, learningRate: 0.2, seed: 7)),
            code: CodeScope(repository: "acme/churn", ref: "refs/heads/main", paths: ["churn/**"]),
            retrain: RetrainPolicy(quietPeriodSeconds: 0, cooldownSeconds: 0))
    }

    static let views: [FeatureViewDefinition] = [
        FeatureViewDefinition(
            name: "profile", entity: "customer", joinKey: "customerid", dataset: "customers",
            features: [
                FeatureDefinition(name: "tenure", expression: .column("tenure"), type: .number),
                FeatureDefinition(name: "contract", expression: .column("contract"), type: .text),
                FeatureDefinition(name: "charge", expression: .column("charge"), type: .number),
            ]),
        FeatureViewDefinition(
            name: "billing", entity: "customer", joinKey: "customerid", dataset: "customers",
            features: [FeatureDefinition(name: "bill", expression: .column("charge"), type: .number)]),
    ]

    /// Applies a project with the given model as a further version.
    func apply(_ model: ModelDefinition) async throws {
        let project = ProjectDefinition(
            name: "churn", datasets: ["customers": DatasetDefinition(name: "customers", key: "customerid")],
            featureViews: Dictionary(uniqueKeysWithValues: Self.views.map { ($0.name, $0) }),
            models: [model.name: model])
        try await database.transaction { transaction in
            _ = try await Projects.apply(
                project, sha256: "\(UUID())", source: "", by: "test", in: transaction)
        }
    }

    /// Makes `count` customers readable as snapshot `number`, and returns the event that says so.
    ///
    /// `noise` is the share of labels that follow from nothing, and `label` replaces all of them.
    func publish(
        _ number: Int64, customers count: Int = 900, seed: UInt64 = 1, noise: Double = 0.2, label: String? = nil
    ) async throws -> FeaturesReady {
        var random = SplitMix64(seed: seed)
        var features: [[FeatureRow]] = [[], []]
        var labels: [LabelRow] = []
        let moment = 1_700_000_000_000_000 + number * 86_400_000_000
        for row in 1...Int64(count) {
            let key = "customer-\(seed)-\(row)"
            let tenure = Double(random.nextIndex(below: 72))
            let contract = ["Month-to-month", "One year", "Two year"][random.nextIndex(below: 3)]
            let charge = (random.nextUnit() * 10_000).rounded() / 100
            let leaves = random.nextUnit() < noise ? random.nextUnit() < 0.3 : tenure < 20 && contract != "Two year"
            let isNull = random.nextUnit() < 0.1
            features[0].append(
                FeatureRow(
                    entityKey: key, event: moment, created: moment, rowNumber: row,
                    numbers: [isNull ? nil : tenure, charge], texts: [contract]))
            features[1].append(
                FeatureRow(
                    entityKey: key, event: moment, created: moment, rowNumber: row, numbers: [charge], texts: []))
            labels.append(
                LabelRow(
                    entityKey: key, event: moment, created: moment, rowNumber: row,
                    label: label ?? (leaves ? "Yes" : "No")))
        }
        let rows = (features, labels)
        try await database.transaction { try await Self.write(rows.0, rows.1, number, in: $0) }
        return FeaturesReady(
            dataset: "customers", snapshot: String(repeating: "a", count: 63) + "\(number)", number: number,
            featureViews: Self.views.map(\.name), rows: count)
    }

    private static func write(
        _ features: [[FeatureRow]], _ labels: [LabelRow], _ number: Int64, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.snapshot (dataset, number, uri, format, sha256, state, event_id, root_id, arrived_at)
            values ('customers', \(number), 'file:///test', 'csv', 'test', 'ready', \("new-\(number)"),
                \("new-\(number)"), now())
            """)
        let views = try await FeatureViews.lacking("customers", number, in: transaction)
        for (view, rows) in zip(Self.views, features) {
            guard let current = views.first(where: { $0.definition.name == view.name }) else { continue }
            try await FeatureRows.write(rows, view: current, number, in: transaction)
            try await FeatureViews.reveal(
                current, number, rows: Int64(rows.count), statistics: "{}", asOf: nil, in: transaction)
        }
        let target = LabelTarget(dataset: "customers", column: "churn", number: number, isDraft: false)
        try await LabelRows.write(labels, to: target, in: transaction)
    }

    /// What the outcome of trainings is compared by.
    struct Outcome: Equatable {
        var runs: [String]
        var versions: [String]
    }

    func outcome() async throws -> Outcome {
        let runs = try await database.query(
            "select model, state, training_set, digest, causes::text as causes from naura.run order by started_at")
        let versions = try await database.query(
            "select version, digest, training_set, state from naura.model_version order by version")
        return Outcome(
            runs: try runs.map {
                "\(try $0.get("model", as: String.self)) \(try $0.get("state", as: String.self)) "
                    + "\(try $0.get("training_set", as: String.self)) \(try $0.get("digest", as: String?.self) ?? "none")"
            },
            versions: try versions.map {
                "\(try $0.get("version", as: Int.self)) \(try $0.get("digest", as: String.self)) "
                    + "\(try $0.get("training_set", as: String.self)) \(try $0.get("state", as: String.self))"
            })
    }

    /// Makes `version` the champion, as a completed rollout would.
    func crown(_ version: Int) async throws {
        try await database.transaction { transaction in
            try await transaction.execute(
                """
                insert into naura.model_alias (model, alias, version) values ('churn', 'champion', \(version)::int)
                on conflict (model, alias) do update set version = excluded.version
                """)
            try await transaction.execute(
                "update naura.model_version set state = 'retired' where model = 'churn' and state = 'champion'")
            try await transaction.execute(
                "update naura.model_version set state = 'champion' where model = 'churn' and version = \(version)::int")
            try await transaction.execute(
                """
                insert into naura.rollout (model, version, digest, salt, state, rules, cause_id, root_id, ended_at)
                values ('churn', \(version)::int, '', '', 'completed', '{}', \("crown-\(version)"), '', now())
                """)
        }
    }

    /// Lets every waiting job be due, and pending triggers be old.
    func passTime() async throws {
        try await database.transaction { transaction in
            try await transaction.execute("update ledger.job set due_at = now() where state = 'waiting'")
            try await transaction.execute(
                "update naura.trigger set at = at - interval '1 day' where request_id is null")
        }
    }
}
