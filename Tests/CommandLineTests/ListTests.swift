import Foundation
import NauraEvents
import NauraKafka
import NauraLedger
import NauraPostgres
import NauraTestKit
import Testing

/// The lists that programs read, over rows that the tests write.
@Suite(
    "The lists of the command line",
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct ListTests {
    @Test("runs, models and rollouts print arrays of objects with the promised fields, the oldest first")
    func shapes() async throws {
        try await Program.withDatabase { naura, database in
            for list in ["runs", "models", "rollouts", "events", "drift"] {
                #expect(try await naura(list, "--json").output == "[]\n")
            }
            for statement in Self.rows { try await database.update(Query(stringLiteral: statement)) }
            let runs = try await naura("runs", "--json").array()
            #expect(runs.map { $0["id"] as? String } == ["r1", "r2"])
            for key in ["id", "model", "version", "state", "training_set", "digest", "metrics", "causes"] {
                #expect(runs.allSatisfy { $0[key] != nil }, "\(key)")
            }
            #expect(runs[0]["version"] as? Int == 1 && runs[1]["version"] is NSNull)
            #expect(runs[0]["metrics"] as? [String: Double] == ["roc_auc": 0.75])
            #expect(runs[0]["causes"] as? [String] == ["e1", "e2"])
            #expect(try await naura("runs", "--model", "other", "--json").output == "[]\n")

            let models = try await naura("models", "--json").array()
            #expect(models.map { $0["name"] as? String } == ["churn"])
            #expect(models[0]["champion"] as? Int == 1)
            #expect((models[0]["versions"] as? [[String: Any]])?.map { $0["version"] as? Int } == [1, 2])

            let rollouts = try await naura("rollouts", "--json").array()
            #expect(rollouts.map { $0["version"] as? Int } == [1, 2])
            for key in ["id", "model", "version", "state", "weight", "verdict"] {
                #expect(rollouts.allSatisfy { $0[key] != nil }, "\(key)")
            }
            #expect(rollouts.map { $0["weight"] as? Double } == [1, 0.05])
            for list in ["runs", "models", "rollouts"] { #expect(try await naura(list).code == 0) }
        }
    }

    private static let rows = [
        "insert into naura.model (name, project, project_version, definition) values ('churn', 'p', 1, '{}')",
        "insert into naura.experiment (name) values ('churn')",
        """
        insert into naura.run (id, experiment_id, name, model, state, training_set, digest, causes, started_at) values
            ('r1', 1, 'one', 'churn', 'finished', 'ts', 'dg', '["e1", "e2"]', now() - interval '2 minutes'),
            ('r2', 1, 'two', 'churn', 'running', null, null, '["e3"]', now())
        """,
        "insert into naura.run_metric (run_id, key, step, timestamp_ms, value) values ('r1', 'roc_auc', 0, 1, 0.75)",
        "insert into naura.registered_model (name) values ('churn')",
        """
        insert into naura.model_version (model, version, run_id, digest, artifact, training_set, state) values
            ('churn', 1, 'r1', 'dg', 'a1', 'ts', 'champion'), ('churn', 2, null, 'd2', 'a2', null, 'candidate')
        """,
        "insert into naura.model_alias (model, alias, version) values ('churn', 'champion', 1)",
        """
        insert into naura.rollout (model, version, digest, salt, state, rules, weight, cause_id, root_id) values
            ('churn', 1, 'dg', 's', 'completed', '{}', 1, 'c1', 'c1'),
            ('churn', 2, 'd2', 's', 'running', '{}', 0.05, 'c2', 'c2')
        """,
    ]

    @Test(
        "status says which workers live and notices a broker that is gone; workers says who holds what and what is stuck",
        .enabled(if: TestBroker.isAvailable, "needs the program tansu"))
    func work() async throws {
        let broker = try await TestBroker()
        try await Program.withDatabase(["NAURA_KAFKA_BROKERS": broker.brokers]) { naura, database in
            try await broker.admin.createTopics(["new-data"], partitions: 3)
            let producer = try KafkaProducer(configuration: broker.configuration)
            for number in 0..<6 {
                try await producer.send([
                    KafkaMessage(topic: "new-data", key: Array("key\(number)".utf8), value: [1])
                ])
            }
            await producer.close(within: .seconds(1))
            try await fill(database)

            let status = try await naura("status", "--json")
            #expect(status.code == 0, "\(status.errors)")
            let report = try status.object()
            let shown = try #require(report["workers"] as? [[String: Any]])
            #expect(shown.map { $0["name"] as? String } == ["train", "validate"])
            for key in ["name", "instance", "pid", "state", "lag"] { #expect(shown.allSatisfy { $0[key] != nil }) }
            #expect(shown.map { $0["state"] as? String } == ["silent", "running"])
            #expect((report["broker"] as? [String: Any])?["state"] as? String == "up")
            #expect((report["database"] as? [String: Any])?["state"] as? String == "up")

            try checkWorkers(try await naura("workers", "--json"))
            let text = try await naura("workers")
            #expect(
                text.output.contains("2 of 3") && text.output.contains("no instance of train lives"), "\(text.output)")

            try await broker.kill()
            let gone = try await naura("status", "--json")
            #expect(gone.code == 1)
            #expect((try gone.object()["broker"] as? [String: Any])?["state"] as? String == "away")
            #expect(try await naura("workers", "--json").object()["broker"] as? String == "away")
        }
        await broker.admin.close()
    }

    private func checkWorkers(_ result: Program.Result) throws {
        #expect(result.code == 0, "\(result.errors)")
        let report = try result.object()
        let validate = try #require((report["workers"] as? [[String: Any]])?.last)
        let held = try #require(validate["partitions"] as? [[String: Any]])
        #expect(held.map { $0["partition"] as? Int } == [0, 1])
        #expect(held.allSatisfy { $0["stage"] as? String == "validate" && $0["lag"] as? Int != nil })
        let leases = try #require(validate["leases"] as? [[String: Any]])
        #expect(leases.map { $0["progress"] as? String } == ["half of it"])
        for key in ["job", "kind", "key", "about", "age_seconds", "lease_seconds"] { #expect(leases[0][key] != nil) }
        let stages = try #require(report["stages"] as? [[String: Any]])
        let stage = try #require(stages.first { $0["stage"] as? String == "validate" })
        #expect(stage["partitions"] as? Int == 3 && stage["held"] as? Int == 2)
        #expect(stage["lag"] as? Int == 6, "\(stage) \(held)")
        #expect(try #require(stage["oldest_seconds"] as? Double) < 60)
        let stuck = try #require(report["stuck"] as? [[String: Any]])
        let found = Set(stuck.compactMap { $0["what"] as? String })
        #expect(
            found.isSuperset(of: [
                "lease-past-its-time", "job-failing", "job-behind-another", "job-without-runner", "stream-unsent",
                "partition-unheld", "event-ends-workers",
            ]), "\(stuck)")
        #expect(stuck.contains { ($0["why"] as? String)?.contains("the disk is full") == true })
    }

    /// Two workers, one of them silent; jobs in every state that stands still; a stream with an unsent tail.
    private func fill(_ database: Database) async throws {
        try await WorkerRegistry.report(
            WorkerReport(
                instance: "validate@here:1:1", name: "validate", host: "here", pid: 1, address: nil, state: "running",
                lag: 4, assignments: ["new-data[0]", "new-data[1]"]), in: database)
        try await WorkerRegistry.report(
            WorkerReport(
                instance: "train@here:2:1", name: "train", host: "here", pid: 2, address: nil, state: "running",
                lag: 0, assignments: []), in: database)
        try await WorkerRegistry.declare(
            [
                WorkerDuty(worker: "validate", kind: .stage, name: "validate", topic: "new-data"),
                WorkerDuty(worker: "validate", kind: .job, name: "validate"),
            ], of: "validate", in: database)
        try await WorkerRegistry.declare(
            [WorkerDuty(worker: "train", kind: .job, name: "train")], of: "train", in: database)
        let event = try EncodedEvent(
            NewData(dataset: "one", uri: "file:///x.csv"), id: "e1", source: "/naura/cli",
            time: Date(timeIntervalSinceNow: -60))
        _ = try await Publisher.publish(event, in: database)
        for statement in Self.standstill { try await database.update(Query(stringLiteral: statement)) }
    }

    private static let standstill = [
        "update ledger.worker set seen_at = now() - interval '1 minute' where name = 'train'",
        """
        insert into ledger.job (kind, key, about, arguments, state, owner, started_at, lease_until, progress) values
            ('validate', 'a', 'a/1', '{}', 'running', 'validate@here:1:1', now() - interval '9 s',
                now() + interval '60 s', 'half of it'),
            ('validate', 'b', 'b/1', '{}', 'running', 'validate@gone:1:1', now() - interval '9 s',
                now() - interval '5 s', null)
        """,
        "insert into ledger.job (kind, key, about, arguments, due_at) values ('validate', 'a', 'a/2', '{}', now() - interval '8 s')",
        """
        insert into ledger.job (kind, key, about, arguments, tries, due_at, failure_message)
        values ('validate', 'c', 'c/1', '{}', 2, now() + interval '60 s', 'the disk is full')
        """,
        "insert into ledger.job (kind, key, about, arguments, due_at) values ('train', 'm', 'm/1', '{}', now() - interval '9 s')",
        "insert into ledger.attempt (stage, event_key, deaths) values ('validate', gen_random_uuid(), 3)",
    ]
}
