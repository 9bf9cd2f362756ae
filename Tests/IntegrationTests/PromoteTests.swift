import NauraEvents
import NauraModels
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import promote
@testable import train

@Suite("The gate", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct PromoteTests {
    /// Publishes, trains and judges; returns the number of the version.
    @discardableResult
    private func round(_ fixture: TrainFixture, _ number: Int64, noise: Double, seed: UInt64) async throws -> Int {
        let ready = try await fixture.publish(number, customers: 1_500, seed: seed, noise: noise)
        try await handle(
            ready, by: FoldNewData(), id: EventID(rawValue: "ready-\(number)"), in: fixture.database)
        try await runJobs(of: fixture.trainer, in: fixture.database)
        return try await judge(fixture)
    }

    @discardableResult
    private func judge(_ fixture: TrainFixture) async throws -> Int {
        let trained = try #require(try await said(ModelTrained.self, in: fixture.database).last)
        try await handle(
            trained, by: GateTrained(), id: EventID(rawValue: "trained-\(trained.version)"), in: fixture.database)
        try await runJobs(of: fixture.gate, in: fixture.database)
        return trained.version
    }

    private func state(of version: Int, _ fixture: TrainFixture) async throws -> String? {
        try await fixture.database.first(
            "select state from naura.model_version where version = \(version)::int")?.get("state")
    }

    @Test("the first model that beats the constant prediction passes; a better one passes on the same rows")
    func promotes() async throws {
        try await TrainFixture.with(change: { $0.promote.slices = ["contract"] }) { fixture in
            #expect(try await round(fixture, 1, noise: 0.5, seed: 1) == 1)
            #expect(try await state(of: 1, fixture) == "passed")
            try await fixture.crown(1)
            #expect(try await round(fixture, 2, noise: 0.1, seed: 2) == 2)
            let promoted = try await said(ModelPromoted.self, in: fixture.database)
            #expect(promoted.map(\.version) == [1, 2])
            #expect(promoted.map(\.champion) == [nil, 1])
            let last = try #require(promoted.last?.evaluation)
            #expect((last.candidate ?? 0) > (last.championScore ?? 1))
            #expect((last.lower ?? -1) <= (last.difference ?? -2))
            #expect(last.holdoutEntities == last.holdoutRows)
            #expect(last.slices?.map(\.column).allSatisfy { $0 == "contract" } == true)
            #expect(last.slices?.isEmpty == false)
        }
    }

    @Test("the champion's own digest ends as unchanged, and a barred one is rejected")
    func knowsDigests() async throws {
        try await TrainFixture.with { fixture in
            try await round(fixture, 1, noise: 0.1, seed: 1)
            try await fixture.crown(1)
            try await handle(
                CodeMerged(
                    repository: "acme/churn", commit: "abcdef0123", ref: "refs/heads/main", paths: ["churn/a.py"]),
                by: FoldMergedCode(), id: "merge-1", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            #expect(try await judge(fixture) == 2)
            let rejected = try await said(ModelRejected.self, in: fixture.database)
            #expect(rejected.map(\.evaluation?.verdict) == ["unchanged"])
            #expect(try await state(of: 2, fixture) == "rejected")

            try await fixture.database.update("delete from naura.model_alias")
            try await fixture.database.update(
                """
                insert into naura.barred_digest (model, digest, reason)
                select model, digest, 'it harmed' from naura.model_version where version = 2
                """)
            try await fixture.database.update(
                """
                insert into ledger.job (kind, key, about, arguments)
                values ('evaluate', 'churn', 'again', \(jsonText: #"{"model":"churn","version":2}"#))
                """)
            try await fixture.database.update("update naura.model_version set state = 'trained' where version = 2")
            try await runJobs(of: fixture.gate, in: fixture.database)
            let last = try #require(try await said(ModelRejected.self, in: fixture.database).last)
            #expect(last.evaluation?.verdict == "rejected")
            #expect(last.reason?.contains("it harmed") == true)
        }
    }

    @Test("a model that is worse than the champion by more than the margin is refused, with numbers")
    func refusesWorse() async throws {
        try await TrainFixture.with { fixture in
            try await round(fixture, 1, noise: 0.05, seed: 1)
            try await fixture.crown(1)
            var worse = TrainFixture.model
            worse.trainer = .xgboost(XGBoostParameters(rounds: 1, maxDepth: 1, seed: 7))
            try await fixture.apply(worse)
            try await round(fixture, 2, noise: 0.05, seed: 2)
            let rejected = try await said(ModelRejected.self, in: fixture.database)
            #expect(rejected.map(\.evaluation?.verdict) == ["rejected"])
            #expect((rejected.first?.evaluation?.upper ?? 1) < 0)
            #expect(try await state(of: 2, fixture) == "rejected")
        }
    }

    @Test("a champion with other features is scored on its own, joined for the same moments")
    func joinsOtherFeatures() async throws {
        try await TrainFixture.with(change: { $0.features = ["profile", "billing"] }) { fixture in
            try await round(fixture, 1, noise: 0.1, seed: 1)
            try await fixture.crown(1)
            try await fixture.apply(TrainFixture.model)
            try await round(fixture, 2, noise: 0.1, seed: 2)
            let evaluation = try #require(
                try await fixture.database.first(
                    "select verdict, champion_score, holdout_rows from naura.evaluation where version = 2"))
            #expect(try evaluation.get("champion_score", as: Double.self) > 0.7)
            #expect(try evaluation.get("holdout_rows", as: Int.self) > 400)
        }
    }

    @Test("too few entities of a class are not judged")
    func cannotJudge() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 120)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            try await judge(fixture)
            let rejected = try await said(ModelRejected.self, in: fixture.database)
            #expect(rejected.map(\.evaluation?.verdict) == ["cannot-judge"])
        }
    }
}
