import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import train

@Suite("Training", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct TrainTests {
    @Test("new features lead to one run with its curves, one version, and one model-trained event")
    func trains() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            let trained = try await said(ModelTrained.self, in: fixture.database)
            #expect(trained.count == 1)
            #expect(trained.first?.version == 1)
            #expect(trained.first?.causes == ["ready-1"])
            #expect((trained.first?.metrics["holdout_auc"] ?? 0) > 0.7)
            let curves = try await fixture.database.query(
                """
                select key, count(*) as points, max(step) as last from naura.run_metric group by key order by key
                """)
            #expect(
                try curves.map { try $0.get("key", as: String.self) } == [
                    "holdout_accuracy", "holdout_auc", "holdout_logloss", "train_accuracy", "train_auc",
                    "train_logloss", "validation_auc", "validation_logloss",
                ])
            #expect(try curves.last?.get("points", as: Int.self) == 15)
            let files = try fixture.artifacts.packageFiles(#require(trained.first?.artifact))
            #expect(files["MLmodel"] != nil)
        }
    }

    @Test("the same data on another machine gives the same training set and the same digest, whatever came in between")
    func repeats() async throws {
        var outcomes: [TrainFixture.Outcome] = []
        for isDisturbed in [false, true] {
            try await TrainFixture.with { fixture in
                for number in 1...2 {
                    let ready = try await fixture.publish(Int64(number), customers: 500, seed: UInt64(number))
                    try await handle(ready, by: FoldNewData(), id: Self.ready(number), in: fixture.database)
                    if isDisturbed {
                        try await handle(ready, by: FoldNewData(), id: Self.ready(number), in: fixture.database)
                        try await Self.killWhileTraining(fixture)
                    }
                    try await runJobs(of: fixture.trainer, in: fixture.database)
                }
                outcomes.append(try await fixture.outcome())
            }
        }
        #expect(outcomes[0] == outcomes[1])
        #expect(outcomes[0].versions.count == 2)
        #expect(Set(outcomes[0].runs).count == 2)
    }

    private static func ready(_ number: Int) -> EventID { EventID(rawValue: "ready-\(number)") }

    /// Has a runner begin the job and die, and lets its lease run out.
    private static func killWhileTraining(_ fixture: TrainFixture) async throws {
        let begun = try await fixture.database.query("select count(*) as runs from naura.run")
        let before = try begun[0].get("runs", as: Int.self)
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await runJobs(of: fixture.trainer, in: fixture.database) }
            group.addTask {
                while true {
                    let rows = try await fixture.database.query("select count(*) as runs from naura.run")
                    if try rows[0].get("runs", as: Int.self) > before { return }
                }
            }
            // Whichever comes first, the run's begin or the end of the whole training; the other is cancelled.
            _ = await group.nextResult()
            group.cancelAll()
        }
        try await fixture.database.update(
            "update ledger.job set lease_until = now() - interval '1 second' where state = 'running'")
    }

    @Test("a thousand drift alerts become one training that names them all")
    func folds() async throws {
        try await TrainFixture.with(change: { $0.retrain.quietPeriodSeconds = 30 }) { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            let window = TimeWindow(from: Date(timeIntervalSince1970: 0), to: Date(timeIntervalSince1970: 60))
            let alert = DriftAlert(
                model: "churn", version: 1, kind: .data, window: window, columns: [], state: .firing)
            for number in 1...1_000 {
                try await handle(
                    alert, by: FoldDrift(), id: EventID(rawValue: "alert-\(number)"), in: fixture.database)
            }
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 0)
            try await fixture.passTime()
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            let trained = try await said(ModelTrained.self, in: fixture.database)
            #expect(trained.count == 1)
            #expect(trained.first?.causes == ["ready-1"] + (1...1_000).map { EventID(rawValue: "alert-\($0)") })
        }
    }

    @Test("a trigger that comes while a training runs becomes exactly one more")
    func keepsLateTriggers() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            let job = try #require(
                try await Jobs.claim(kinds: [TrainModel.kind], owner: "test", leaseSeconds: 60, in: fixture.database))
            let second = try await fixture.publish(2, customers: 300, seed: 2)
            _ = try await fixture.database.transaction { transaction in
                try await TrainingRequests.lock("churn", in: transaction)
                return try await TrainingRequests.freeze("churn", job: job.id, in: transaction)
            }
            for number in 2...4 {
                try await handle(
                    second, by: FoldNewData(), id: EventID(rawValue: "ready-\(number)"), in: fixture.database)
            }
            try await fixture.database.update("update ledger.job set lease_until = now() where id = \(job.id)")
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 2)
            let trained = try await said(ModelTrained.self, in: fixture.database)
            #expect(trained.map(\.causes) == [["ready-1"], ["ready-2", "ready-3", "ready-4"]])
        }
    }

    @Test("a request whose training set, parameters and code are the champion's ends as unchanged, with the reason")
    func endsUnchanged() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            try await fixture.crown(1)
            try await handle(
                RetrainDue(model: "churn", slot: Date(timeIntervalSince1970: 0)), by: FoldRequests(), id: "slot-1",
                in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            #expect(try await said(ModelTrained.self, in: fixture.database).count == 1)
            let requests = try await fixture.database.query(
                "select state, reason from naura.training_request order by id")
            #expect(try requests.map { try $0.get("state", as: String.self) } == ["trained", "unchanged"])
            #expect(try requests[1].get("reason", as: String.self).contains("version 1 is the champion"))
        }
    }

    @Test("a merge that concerns the model retrains it and its run names the commit; another merge does nothing")
    func namesCommits() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            let other = CodeMerged(
                repository: "acme/churn", commit: "0123456789", ref: "refs/heads/main", paths: ["docs/readme.md"])
            let handled = try await handle(other, by: FoldMergedCode(), id: "merge-1", in: fixture.database)
            #expect(handled.isNew && handled.jobs.isEmpty)
            let merged = CodeMerged(
                repository: "acme/churn", commit: "abcdef0123", ref: "refs/heads/main", paths: ["churn/model.py"])
            try await handle(merged, by: FoldMergedCode(), id: "merge-2", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            let trained = try await said(ModelTrained.self, in: fixture.database)
            #expect(trained.map(\.codeCommit) == [nil, "abcdef0123"])
            #expect(Set(trained.map(\.digest)).count == 1)
            let runs = try await fixture.database.query("select code_commit from naura.run order by started_at")
            #expect(try runs.last?.get("code_commit", as: String.self) == "abcdef0123")
        }
    }

    @Test("labels of one class end the request as failed, with the reason, and train nothing")
    func refusesOneClass() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 50, label: "No")
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            let rejection = await #expect(throws: Rejection.self) {
                try await runJobs(of: fixture.trainer, in: fixture.database)
            }
            #expect(rejection?.code == "untrainable")
            let request = try await fixture.database.query("select state, reason from naura.training_request")
            #expect(try request[0].get("state", as: String.self) == "failed")
            #expect(try request[0].get("reason", as: String.self).contains("both classes are needed"))
        }
    }

    @Test("a person's request waits neither for the quiet period nor for the cooldown, and is on record")
    func obeysPeople() async throws {
        try await TrainFixture.with(change: { $0.retrain.quietPeriodSeconds = 600 }) { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 0)
            try await handle(
                RetrainDue(model: "churn", requestedBy: "ada@desk", reason: "new idea"), by: FoldRequests(),
                id: "by-hand", in: fixture.database)
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            #expect(try await said(ModelTrained.self, in: fixture.database).first?.causes == ["ready-1", "by-hand"])
            await #expect(throws: Rejection.self) {
                try await handle(
                    RetrainDue(model: "nobody", requestedBy: "ada", reason: "typo"), by: FoldRequests(),
                    in: fixture.database)
            }
        }
    }

    @Test("the cooldown counts from the last training, and the weekly budget holds")
    func waits() async throws {
        try await TrainFixture.with(change: { $0.retrain.cooldownSeconds = 3_600 }) { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            let second = try await fixture.publish(2, customers: 300, seed: 2)
            try await handle(second, by: FoldNewData(), id: "ready-2", in: fixture.database)
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 0)
            // A job that is claimed too early is given back until the cooldown is over.
            try await fixture.passTime()
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            #expect(try await said(ModelTrained.self, in: fixture.database).count == 1)
            try await fixture.database.update(
                "update naura.training_request set frozen_at = frozen_at - interval '2 hours'")
            try await fixture.passTime()
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            #expect(try await said(ModelTrained.self, in: fixture.database).count == 2)
        }
    }

    @Test("a model that is no longer defined trains nothing, and begins anew when it is defined again")
    func forgetsRetiredModels() async throws {
        try await TrainFixture.with { fixture in
            let ready = try await fixture.publish(1, customers: 400)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            try await fixture.database.update("update naura.model set is_retired = true")
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            #expect(try await said(ModelTrained.self, in: fixture.database).isEmpty)
            try await fixture.database.update("update naura.model set is_retired = false")
            try await handle(ready, by: FoldNewData(), id: "ready-2", in: fixture.database)
            #expect(try await runJobs(of: fixture.trainer, in: fixture.database) == 1)
            #expect(try await said(ModelTrained.self, in: fixture.database).map(\.causes) == [["ready-2"]])
        }
    }

    @Test("a training set does not change when rows that came later, or were never revealed, lie in the tables")
    func readsAtTheReadPoint() async throws {
        var sets: [String] = []
        for hasMore in [false, true] {
            try await TrainFixture.with { fixture in
                let ready = try await fixture.publish(1, customers: 300)
                try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
                if hasMore { _ = try await fixture.publish(2, customers: 300, seed: 1, noise: 0.9) }
                try await runJobs(of: fixture.trainer, in: fixture.database)
                sets += try await said(ModelTrained.self, in: fixture.database).map(\.trainingSet)
            }
        }
        #expect(sets.count == 2 && sets[0] == sets[1])
    }
}
