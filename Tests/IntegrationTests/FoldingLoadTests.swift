// Triggers by the thousand, through a real broker and a real `train` that is killed: they fold, and none is lost.

import Foundation
import Logging
import NauraData
import NauraEvents
import NauraKafka
import NauraPostgres
import NauraRules
import NauraStore
import NauraTestKit
import Testing

/// A broker, a database with the model `churn` and its rows, and `train` between them.
private struct FoldingStand: Sendable {
    let fixture: TrainFixture
    let broker: TestBroker
    let producer: KafkaProducer
    let url: String

    static func with(
        rounds: Int = 15, change: (inout RetrainPolicy) -> Void, _ body: (FoldingStand) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-test-\(UUID().uuidString)").path
        try await TestDatabase.withURL { url in
            let database = Database(url: url, applicationName: "test", logger: Logger(label: "naura.tests"))
            let fixture = TrainFixture(
                database: database, artifacts: try ArtifactStore(directory: folder), folder: folder)
            var model = TrainFixture.model
            model.trainer = .xgboost(XGBoostParameters(rounds: rounds, maxDepth: 3, learningRate: 0.05, seed: 7))
            change(&model.retrain)
            try await fixture.apply(model)
            let broker = try await TestBroker()
            let stand = FoldingStand(
                fixture: fixture, broker: broker,
                producer: try KafkaProducer(configuration: broker.configuration), url: url)
            let result: Result<Void, any Error>
            do { result = .success(try await body(stand)) } catch { result = .failure(error) }
            await stand.producer.close()
            await database.close()
            await broker.admin.close()
            await broker.end()
            try FileManager.default.removeItem(atPath: folder)
            try result.get()
        }
    }

    func start() throws -> WorkerProcess {
        try WorkerProcess(
            "train",
            environment: [
                "NAURA_DATABASE_URL": url, "NAURA_KAFKA_BROKERS": broker.brokers, "NAURA_ARTIFACTS": fixture.folder,
                "NAURA_KAFKA_SESSION_TIMEOUT_MS": "2000", "NAURA_KAFKA_LEAVE_GROUP": "0",
                "NAURA_KAFKA_FETCH_WAIT_MS": "5",
                "NAURA_LEASE_SECONDS": "2", "NAURA_JOBS": "4",
            ])
    }

    /// Starts `train` and waits until it reads all four of its topics.
    func startReady() async throws -> WorkerProcess {
        let worker = try start()
        let isReady = try await eventually {
            let row = try await fixture.database.first(
                """
                select jsonb_array_length(assignments) as held from ledger.worker where pid = \(Int(worker.pid))
                order by started_at desc limit 1
                """)
            return try row?.get("held", as: Int.self) == 16
        }
        guard isReady else { throw HarnessError(description: "train reads nothing:\n\(worker.log.suffix(3_000))") }
        return worker
    }

    /// Makes rows that trainings may read.
    func publish(customers: Int) async throws {
        _ = try await fixture.publish(1, customers: customers)
        try await fixture.database.transaction { try await ReadPoints.advance("customers", to: 1, in: $0) }
    }

    func alert(_ id: String, model: String = "churn") throws -> EncodedEvent {
        let alert = DriftAlert(
            model: ModelID(rawValue: model), version: 1, kind: .data,
            window: TimeWindow(from: Date(timeIntervalSince1970: 0), to: Date(timeIntervalSince1970: 60)), columns: [],
            state: .firing)
        return try EncodedEvent(
            alert, id: EventID(rawValue: id), source: "https://example.org/monitor", time: Date(), causeID: nil,
            rootID: nil)
    }

    func send(_ events: [EncodedEvent]) async throws {
        try await producer.send(
            events.map {
                KafkaMessage(
                    topic: $0.envelope.type.rawValue, key: Array($0.envelope.subject.utf8), value: $0.body,
                    headers: $0.headers)
            })
    }

    func count(_ table: String, _ condition: String = "true") async throws -> Int {
        let row = try await fixture.database.first(
            Query(stringLiteral: "select count(*) as n from \(table) where \(condition)"))
        return try row?.get("n") ?? -1
    }

    /// How many triggers each request has taken, the oldest first.
    func folds() async throws -> [Int] {
        try await fixture.database.query(
            """
            select count(t.id) as n from naura.training_request r left join naura.trigger t on t.request_id = r.id
            group by r.id order by r.id
            """
        ).map { try $0.get("n") }
    }
}

@Suite(
    "Folding under load", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable && TestDatabase.isConfigured, "needs the program tansu, and PostgreSQL"))
struct FoldingLoadTests {
    @Test("ten thousand drift alerts are one training that names them all, though `train` is killed in mid-window")
    func tenThousand() async throws {
        try await FoldingStand.with { retrain in
            retrain.quietPeriodSeconds = 12
            retrain.cooldownSeconds = 0
        } _: { stand in
            try await stand.publish(customers: 400)
            let first = try await stand.startReady()
            let ids = (1...10_000).map { "alert-\($0)" }
            let start = ContinuousClock.now
            for batch in stride(from: 0, to: 9_999, by: 1_000) {
                try await stand.send(try ids[batch..<min(batch + 1_000, 9_999)].map { try stand.alert($0) })
            }
            #expect(try await eventually { try await stand.count("naura.trigger") > 2_000 })
            await first.kill()
            let second = try stand.start()
            #expect(try await eventually { try await stand.count("naura.trigger") == 9_999 })
            // The last of them comes when all others have been folded.
            try await stand.send([try stand.alert("alert-10000")])
            #expect(try await eventually { try await stand.count("naura.trigger") == 10_000 })
            let time = ContinuousClock.now - start
            #expect(time < .seconds(60), "\(time)")
            #expect(
                try await eventually { try await stand.count("naura.training_request", "state <> 'frozen'") >= 1 },
                "\(second.log.suffix(3_000))")
            #expect(try await stand.folds() == [10_000])
            #expect(try await stand.count("naura.training_request", "state = 'trained'") == 1)
            let trained = try await said(ModelTrained.self, in: stand.fixture.database)
            #expect(trained.count == 1)
            let isWhole = Set(trained.first?.causes.map(\.rawValue) ?? []) == Set(ids)
            #expect(isWhole)
            #expect(trained.first?.causes.last == "alert-10000")
            #expect(await second.stop() == 0)
        }
    }

    @Test("five triggers while one training runs are exactly one more, which covers all five; none is stranded")
    func fiveMeanwhile() async throws {
        try await FoldingStand.with(rounds: 4_000) { retrain in
            retrain.quietPeriodSeconds = 0
            retrain.cooldownSeconds = 0
        } _: { stand in
            try await stand.publish(customers: 900)
            let worker = try await stand.startReady()
            try await stand.send([try stand.alert("first")])
            #expect(try await eventually { try await stand.count("naura.run", "state = 'running'") == 1 })
            for number in 1...5 { try await stand.send([try stand.alert("meanwhile-\(number)")]) }
            #expect(try await eventually { try await stand.count("naura.trigger") == 6 })
            #expect(
                try await stand.count("naura.training_request", "state = 'frozen'") == 1, "the training was too short")
            #expect(
                try await eventually { try await stand.count("naura.training_request", "state <> 'frozen'") == 2 },
                "\(worker.log.suffix(3_000))")
            #expect(try await stand.folds() == [1, 5])
            #expect(try await stand.count("naura.trigger", "request_id is null") == 0)
            #expect(try await stand.count("ledger.job", "kind = 'train' and state in ('waiting', 'running')") == 0)
            #expect(await worker.stop() == 0)
        }
    }

    @Test("at 50 drift alerts a second 95 % lead to a training request within a second, and none waits for a tick")
    func latency() async throws {
        try await FoldingStand.with { retrain in
            retrain.quietPeriodSeconds = 0
            retrain.cooldownSeconds = 0
        } _: { stand in
            // No rows: a training ends as soon as it has frozen its triggers, which is what is measured.
            let models = (0..<25).map { "model-\($0)" }
            try await stand.fixture.database.update(
                """
                insert into naura.model (name, project, project_version, definition)
                select 'model-' || n, project, project_version, jsonb_set(definition, '{name}', to_jsonb('model-' || n))
                from naura.model cross join generate_series(0, 24) n where name = 'churn'
                """)
            let worker = try await stand.startReady()
            // The first pay for what is made at first use.
            try await stand.send(try models.map { try stand.alert("warm-\($0)", model: $0) })
            #expect(try await eventually { try await stand.count("naura.trigger", "request_id is not null") == 25 })
            let clock = ContinuousClock()
            let start = clock.now
            for number in 0..<400 {
                // Every 20 ms: the load's own clock, not a wait for something.
                try await clock.sleep(until: start + .milliseconds(20 * number))
                try await stand.send([try stand.alert("alert-\(number)", model: models[number % 25])])
            }
            #expect(try await eventually { try await stand.count("naura.trigger", "request_id is not null") == 425 })
            let rows = try await stand.fixture.database.query(
                """
                select extract(epoch from r.frozen_at - e.time)::float8 as seconds
                from naura.trigger t join naura.training_request r on r.id = t.request_id
                join ledger.foreign_event e on e.event_id = t.event_id where t.event_id like 'alert-%' order by 1
                """)
            let seconds = try rows.map { try $0.get("seconds", as: Double.self) }
            #expect(seconds.count == 400)
            let (median, most) = (seconds[seconds.count / 2], seconds[seconds.count * 95 / 100])
            #expect(most < 1, "p50 \(median) s, p95 \(most) s")
            #expect(median < 0.4, "p50 \(median) s, p95 \(most) s")
            #expect(await worker.stop() == 0)
        }
    }
}
