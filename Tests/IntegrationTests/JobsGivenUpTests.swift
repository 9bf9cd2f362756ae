// What a job answered for ends with it: no snapshot, training or version waits for a job that has failed for good.

import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import featurize
@testable import promote
@testable import train
@testable import validate

@Suite("What a failed job answered for", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct JobsGivenUpTests {
    private static let failure = JobFailure(code: "timed-out", message: "stopped after an hour")
    private static let file =
        "id,at,charges,months,plan,churn\na,2026-01-01,10,2,x,Yes\nb,2026-01-02 03:04:05,,0,y,No\n"

    private func states(_ sample: DataSample) async throws -> [String] {
        try await sample.column(
            "select number || ' ' || state as value from naura.snapshot order by number limit 100")
    }

    /// Has failed jobs of `kind` wait again, as `naura dlq redrive` does.
    private func redrive(_ kind: JobKind, in database: Database) async throws {
        try await database.update(
            "update ledger.job set state = 'waiting', due_at = now() where kind = \(kind) and state = 'failed'")
    }

    @Test("a snapshot whose check fails for good ends as failed, with the reason, and its publisher is told")
    func snapshots() async throws {
        try await DataSample.with { sample in
            let runner = ValidateSnapshot(artifacts: sample.artifacts)
            let event = NewData(dataset: "customers", uri: try sample.file(Self.file))
            try await handle(event, by: NumberSnapshot(), id: "new-1", in: sample.database)
            #expect(try await giveUpJobs(of: runner, because: Self.failure, in: sample.database) == 1)
            #expect(try await states(sample) == ["1 failed"])
            let rejected = try await said(DataRejected.self, in: sample.database)
            #expect(rejected.map(\.number) == [1])
            #expect(rejected.first?.violations.map(\.rule) == ["timed-out"])
            #expect(rejected.first?.reason == "it could not be checked: stopped after an hour")
            #expect(rejected.first?.checked == false)
            // The same file may come again, and the job be redriven.
            try await sample.publish(try sample.file(Self.file, "again.csv"))
            #expect(try await states(sample) == ["1 failed", "2 validated"])
            try await redrive(ValidateSnapshot.kind, in: sample.database)
            #expect(try await runJobs(of: runner, in: sample.database) == 1)
            #expect(try await states(sample) == ["1 duplicate", "2 validated"])
        }
    }

    @Test("a snapshot whose features fail for good ends as failed; one that was ready stays so")
    func features() async throws {
        try await DataSample.with { sample in
            let runner = FeaturizeSnapshot(artifacts: sample.artifacts)
            try await sample.publish(try sample.file(Self.file))
            for validated in try await said(DataValidated.self, in: sample.database) {
                try await handle(validated, by: OrderFeatures(), id: "validated-1", in: sample.database)
            }
            #expect(try await giveUpJobs(of: runner, because: Self.failure, in: sample.database) == 1)
            #expect(try await states(sample) == ["1 failed"])
            let rejected = try await said(DataRejected.self, in: sample.database)
            #expect(rejected.first?.reason == "it could not be made into features: stopped after an hour")

            try await sample.publish(try sample.file(Self.file + "c,2026-01-03,1,1,x,No\n", "more.csv"))
            try await sample.featurize()
            #expect(try await states(sample) == ["1 failed", "2 ready"])
            try await sample.database.update(
                """
                insert into ledger.job (kind, key, about, arguments) values ('featurize', 'customers', 'again',
                    '{"dataset": "customers", "number": 2, "labels": ["churn"], "announces": false}')
                """)
            #expect(try await giveUpJobs(of: runner, because: Self.failure, in: sample.database) == 1)
            #expect(try await states(sample) == ["1 failed", "2 ready"])
            #expect(try await said(DataRejected.self, in: sample.database).count == 1)
            try await redrive(FeaturizeSnapshot.kind, in: sample.database)
            #expect(try await runJobs(of: runner, in: sample.database) == 2)
            #expect(try await states(sample) == ["1 ready", "2 ready"])
        }
    }

    @Test(
        "a training that fails for good takes its triggers along, frozen or not, and the next trigger starts another",
        arguments: [true, false])
    func trainings(isFrozen: Bool) async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            if isFrozen {
                let row = try await fixture.database.first("select id from ledger.job where kind = 'train'")
                let job = try #require(row).get("id", as: Int.self)
                _ = try await fixture.database.transaction { transaction in
                    try await TrainingRequests.freeze("churn", job: job, in: transaction)
                }
            }
            #expect(try await giveUpJobs(of: fixture.trainer, because: Self.failure, in: fixture.database) == 1)
            let request = try await fixture.database.query("select state, reason from naura.training_request")
            #expect(try request.map { try $0.get("state", as: String.self) } == ["failed"])
            #expect(try request.first?.get("reason", as: String.self) == "stopped after an hour")
            let branches = try await Chain.branches(of: ["ready-1"], in: fixture.database)
            #expect(branches.map(\.training?.state) == ["failed"])

            try await handle(ready, by: FoldNewData(), id: "ready-2", in: fixture.database)
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            #expect(try await said(ModelTrained.self, in: fixture.database).map(\.causes) == [["ready-2"]])
            try await redrive(TrainModel.kind, in: fixture.database)
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            let states = try await fixture.database.query("select state from naura.training_request order by id")
            #expect(try states.map { try $0.get("state", as: String.self) } == ["unchanged", "trained"])
        }
    }

    @Test("a version that nobody can judge is rejected, with the reason on record")
    func versions() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 1_500)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            let trained = try #require(try await said(ModelTrained.self, in: fixture.database).last)
            try await handle(trained, by: GateTrained(), id: "trained-1", in: fixture.database)
            #expect(try await giveUpJobs(of: fixture.gate, because: Self.failure, in: fixture.database) == 1)
            let rejected = try await said(ModelRejected.self, in: fixture.database)
            #expect(rejected.map(\.reason) == ["it could not be judged: stopped after an hour"])
            let branch = try await Chain.branches(of: ["ready-1"], in: fixture.database).first
            #expect(branch?.verdict?.verdict == "cannot-judge")
            #expect(branch?.verdict?.reason == "it could not be judged: stopped after an hour")
            let version = try await fixture.database.first("select state from naura.model_version limit 1")
            #expect(try version?.get("state", as: String.self) == "rejected")

            try await redrive(EvaluateCandidate.kind, in: fixture.database)
            #expect(try await runJobs(of: fixture.gate, in: fixture.database) == 1)
            let second = try await Chain.branches(of: ["ready-1"], in: fixture.database).first
            #expect(second?.verdict?.verdict == "promoted", "\(String(describing: second?.verdict))")
            let passed = try await fixture.database.first("select state from naura.model_version limit 1")
            #expect(try passed?.get("state", as: String.self) == "passed")
        }
    }
}
