import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import featurize
@testable import promote
@testable import train
@testable import validate

@Suite("Backfills", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct BackfillTests {
    private static let file = "id,at,charges,months,plan,churn\na,2026-01-01,10,2,x,Yes\nb,2026-01-02,20,4,y,No\n"

    private func priorities(_ database: Database) async throws -> [String] {
        try await database.query("select kind, priority from ledger.job order by id").map {
            "\(try $0.get("kind", as: String.self)) \(try $0.get("priority", as: Int.self))"
        }
    }

    @Test("a backfill's mark goes with its data from event to event, and its jobs come after all others")
    func marks() async throws {
        for isBackfill in [true, false] {
            try await DataSample.with { sample in
                let event = NewData(
                    dataset: "customers", uri: try sample.file(Self.file), backfill: isBackfill ? true : nil)
                try await handle(event, by: NumberSnapshot(), in: sample.database)
                try await runJobs(of: ValidateSnapshot(artifacts: sample.artifacts), in: sample.database)
                try await sample.featurize()
                let ready = try #require(try await said(FeaturesReady.self, in: sample.database).first)
                try await handle(ready, by: FoldNewData(), in: sample.database)
                let mark = isBackfill ? true : nil
                #expect(try await said(DataValidated.self, in: sample.database).map(\.backfill) == [mark])
                #expect(ready.backfill == mark)
                let priority = isBackfill ? JobPriority.backfill.rawValue : 0
                #expect(
                    try await priorities(sample.database)
                        == ["validate \(priority)", "featurize \(priority)", "train \(priority)"])
            }
        }
    }

    @Test("a view added later to what a backfill brought in is announced as the project's wish, not as a backfill")
    func views() async throws {
        try await DataSample.with { sample in
            let event = NewData(dataset: "customers", uri: try sample.file(Self.file), backfill: true)
            try await handle(event, by: NumberSnapshot(), in: sample.database)
            try await runJobs(of: ValidateSnapshot(artifacts: sample.artifacts), in: sample.database)
            try await sample.featurize()
            let applied = try await sample.apply(
                DataSample.project.replacing("months: months", with: "months: months + 1"))
            let order = try #require(applied.orders.first)
            try await sample.database.update(
                """
                insert into ledger.job (kind, key, about, arguments)
                values ('featurize', 'customers', \(applied.about(order)), \(json: order))
                """)
            try await runJobs(of: FeaturizeSnapshot(artifacts: sample.artifacts), in: sample.database)
            #expect(try await said(FeaturesReady.self, in: sample.database).map(\.backfill) == [true, nil])
        }
    }

    /// Hands rows to `train`, as a backfill's or as others.
    private func fold(_ ready: FeaturesReady, _ fixture: TrainFixture, isBackfill: Bool) async throws {
        let marked = FeaturesReady(
            dataset: ready.dataset, snapshot: ready.snapshot, number: ready.number, featureViews: ready.featureViews,
            rows: ready.rows, backfill: isBackfill ? true : nil)
        try await handle(marked, by: FoldNewData(), in: fixture.database)
    }

    /// Trains and judges what is pending; returns what was announced, and the last version's state.
    private func turn(_ fixture: TrainFixture) async throws -> (trained: ModelTrained, promoted: [Int], state: String) {
        try await runJobs(of: fixture.trainer, in: fixture.database)
        let trained = try #require(try await said(ModelTrained.self, in: fixture.database).last)
        try await handle(trained, by: GateTrained(), in: fixture.database)
        try await runJobs(of: fixture.gate, in: fixture.database)
        let state: String? = try await fixture.database.first(
            "select state from naura.model_version where version = \(trained.version)::int")?.get("state")
        return (
            trained, try await said(ModelPromoted.self, in: fixture.database).map(\.version), try #require(state)
        )
    }

    @Test(
        "a version that only a backfill asked for is judged and never announced; the same data asked for otherwise is")
    func waits() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 1_500, noise: 0.1)
            try await fold(ready, fixture, isBackfill: true)
            let first = try await turn(fixture)
            #expect(first.trained.backfill == true && first.state == "passed" && first.promoted.isEmpty)
            #expect(try await said(ModelRejected.self, in: fixture.database).isEmpty)
            let verdict: String? = try await fixture.database.first("select verdict from naura.evaluation")?.get(
                "verdict")
            #expect(verdict == "promoted")
            #expect(try await priorities(fixture.database) == ["train -100", "evaluate -100"])

            // Another backfill has nothing to add to it; anybody else who asks is answered by a version on its way.
            try await fold(ready, fixture, isBackfill: true)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            #expect(try await said(ModelTrained.self, in: fixture.database).count == 1)
            try await fold(ready, fixture, isBackfill: false)
            let second = try await turn(fixture)
            #expect(second.trained.backfill == nil && second.promoted == [2] && second.state == "passed")
            #expect(second.trained.digest == first.trained.digest)
        }
    }

    @Test("one ordinary trigger among a backfill's makes the training an ordinary one, in its priority and its end")
    func mixed() async throws {
        try await TrainFixture.with { fixture in
            for number in 1...3 as ClosedRange<Int64> {
                let ready = try await fixture.publish(number, customers: 700, seed: UInt64(number), noise: 0.1)
                try await fold(ready, fixture, isBackfill: number != 2)
            }
            #expect(try await priorities(fixture.database) == ["train 0"])
            let end = try await turn(fixture)
            #expect(end.trained.backfill == nil && end.trained.causes.count == 3)
            #expect(end.promoted == [1])
        }
    }

    @Test("a backfill's trainings use up no weekly budget")
    func budget() async throws {
        try await TrainFixture.with(change: { $0.retrain.atMostPerWeek = 2 }) { fixture in
            for number in 1...3 as ClosedRange<Int64> {
                let ready = try await fixture.publish(number, customers: 300, seed: UInt64(number))
                try await fold(ready, fixture, isBackfill: true)
                #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            }
            #expect(try await said(ModelTrained.self, in: fixture.database).map(\.version) == [1, 2, 3])
            let ready = try await fixture.publish(4, customers: 300, seed: 4)
            try await fold(ready, fixture, isBackfill: false)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            #expect(try await said(ModelTrained.self, in: fixture.database).map(\.version) == [1, 2, 3, 4])
        }
    }
}
