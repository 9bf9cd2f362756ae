import Foundation
import Logging
import NauraEvents
import NauraKafka
import NauraLedger
import NauraPostgres
import NauraTestKit

/// A broker and a database of one test, and probe workers between them.
struct RuntimeHarness: Sendable {
    let broker: TestBroker
    let database: Database
    let databaseURL: String
    let producer: KafkaProducer

    /// Makes broker, database and the probe's tables, and ends everything after `body`.
    static func with(_ body: (RuntimeHarness) async throws -> Void) async throws {
        try await TestDatabase.withURL { url in try await with(databaseURL: url, body) }
    }

    /// The same on a database that the test has made itself.
    static func with(
        databaseURL url: String, advertisedPort: Int? = nil, _ body: (RuntimeHarness) async throws -> Void
    ) async throws {
        var logger = Logger(label: "naura.tests")
        logger.logLevel = .error
        let database = Database(url: url, connectionsMax: 4, applicationName: "naura test", logger: logger)
        let broker = try await TestBroker(advertisedPort: advertisedPort)
        let producer = try KafkaProducer(configuration: broker.configuration, logger: logger)
        let harness = RuntimeHarness(broker: broker, database: database, databaseURL: url, producer: producer)
        for statement in probeTables { try await database.update(Query(stringLiteral: statement)) }
        do {
            try await body(harness)
        } catch {
            await harness.end()
            throw error
        }
        await harness.end()
    }

    private func end() async {
        await producer.close(within: .seconds(1))
        await database.close()
        await broker.admin.close()
        await broker.end()
    }

    static let effectTable = """
        create table probe.effect (at bigint generated always as identity, event_id text, key text, number bigint,
            instance text)
        """

    private static let probeTables = [
        "create schema probe",
        "create sequence probe.tries",
        effectTable,
        "create table probe.sink (at bigint generated always as identity, event_id text, cause_id text, key text, number bigint)",
        "create table probe.claim (job bigint, instance text)",
        "create table probe.settled (job bigint, key text, instance text)",
    ]

    // MARK: - Workers

    /// Starts a probe worker; `role` is `probe` or `sink`.
    func start(_ role: String = "probe", _ more: [String: String] = [:], from programs: URL? = nil) throws
        -> WorkerProcess
    {
        let environment = [
            "NAURA_DATABASE_URL": databaseURL, "NAURA_KAFKA_BROKERS": broker.brokers, "NAURA_ARTIFACTS": "/tmp",
            "NAURA_KAFKA_SESSION_TIMEOUT_MS": "2000", "NAURA_KAFKA_LEAVE_GROUP": "0", "NAURA_KAFKA_FETCH_WAIT_MS": "5",
            "NAURA_LEASE_SECONDS": "2",
            "NAURA_LOG_LEVEL": "debug",
        ].merging(more) { $1 }
        return try WorkerProcess("probe-worker", arguments: [role], environment: environment, from: programs)
    }

    /// Starts a probe worker and waits until it holds `partitions` partitions.
    func startReady(_ role: String = "probe", partitions: Int = 4, _ more: [String: String] = [:]) async throws
        -> WorkerProcess
    {
        let worker = try start(role, more)
        let isReady = try await eventually {
            let row = try await database.query(
                """
                select jsonb_array_length(assignments) as held from ledger.worker
                where pid = \(Int(worker.pid)) order by started_at desc limit 1
                """
            ).first
            return try row?.get("held", as: Int.self) ?? 0 >= partitions
        }
        guard isReady else {
            throw HarnessError(description: "\(role) holds no partitions:\n\(worker.log.suffix(4_000))")
        }
        return worker
    }

    // MARK: - Events

    static func event(_ command: String, _ number: Int, key: String = "one", id: EventID = .random()) throws
        -> EncodedEvent
    {
        try EncodedEvent(
            NewData(dataset: DatasetID(rawValue: key), uri: "file:///\(command)/\(number)"), id: id,
            source: "https://example.org/outside", time: Date(), causeID: nil, rootID: nil)
    }

    /// Sends events to the broker, past the outbox, as any Kafka client may.
    func send(_ events: [EncodedEvent]) async throws {
        let messages = events.map {
            KafkaMessage(
                topic: $0.envelope.type.rawValue, key: Array($0.envelope.subject.utf8), value: $0.body,
                headers: $0.headers)
        }
        while true {
            do {
                return try await producer.send(messages)
            } catch let error as KafkaError where error.isTransient {
                continue
            }
        }
    }

    /// Publishes events as command line and HTTP do: through the outbox.
    func publish(_ events: [EncodedEvent]) async throws {
        for event in events { _ = try await Publisher.publish(event, in: database) }
    }

    /// Sends `events` while somebody holds one of them up, waits until `offset` is committed and the one behind it waits,
    /// and says what is committed and written by then.
    func sendAndWatch(_ events: [EncodedEvent], until offset: Int64) async throws -> (committed: Int64, effects: [Int])
    {
        try await send(events)
        let isThere = try await eventually { try await committed() == offset }
        let isHeldUp = try await waitFor(1, in: "pg_locks", "locktype = 'advisory' and not granted")
        guard isThere, isHeldUp else { throw HarnessError(description: "nobody waits: \(isThere) \(isHeldUp)") }
        return (try await committed(), try await numbers(in: "probe.effect"))
    }

    // MARK: - What came of it

    /// The offset that the probe has committed in the partition of the key `one`.
    func committed() async throws -> Int64 {
        let partition = KafkaPartitioner.partition(of: Array("one".utf8), partitions: 4)
        return try await broker.admin.committedOffsets(of: "naura-probe", topic: "new-data")[partition] ?? 0
    }

    /// The rows of `table`, which may have a condition of its own.
    func count(_ table: String, _ condition: String? = nil) async throws -> Int {
        let row = try await database.query(
            Query(stringLiteral: "select count(*) as rows from \(table)\(condition.map { " where \($0)" } ?? "")")
        ).first
        return try row?.get("rows", as: Int.self) ?? -1
    }

    /// Waits until `table` has `rows` rows.
    func waitFor(_ rows: Int, in table: String, _ condition: String? = nil, within limit: Duration = .seconds(60))
        async throws -> Bool
    {
        try await eventually(within: limit) { try await count(table, condition) >= rows }
    }

    /// The numbers of a table of the probe, in the order in which they were written.
    func numbers(in table: String, key: String = "one") async throws -> [Int] {
        try await database.query(
            Query(stringLiteral: "select number from \(table) where key = '\(key)' order by at")
        ).map { try $0.get("number", as: Int.self) }
    }

    /// How many effects were written more than once for one event.
    func repeated(in table: String = "probe.effect", by column: String = "event_id") async throws -> Int {
        let row = try await database.query(
            Query(
                stringLiteral: """
                    select count(*) as rows from
                        (select 1 from \(table) group by \(column) having count(*) > 1) repeated
                    """)
        ).first
        return try row?.get("rows", as: Int.self) ?? -1
    }

    /// Waits until everything said has reached the broker.
    func waitUntilSent() async throws -> Bool { try await eventually { try await Outbox.depth(in: database) == 0 } }
}

struct HarnessError: Error, CustomStringConvertible {
    let description: String
}

extension RuntimeHarness {
    /// The numbers of all records that `topic` holds, in their order per partition; -1 for one that has none.
    func readAll(_ topic: String) async throws -> [Int] { try await records(of: topic).map(Self.number) }

    /// All records that `topic` holds, in their order per partition.
    func records(of topic: String) async throws -> [KafkaRecord] {
        let consumer = try KafkaConsumer(
            configuration: broker.configuration, group: TestBroker.uniqueName("reader"), topics: [topic])
        var all: [KafkaRecord] = []
        for await event in consumer.events() {
            guard case .assigned(let partitions) = event else { continue }
            for partition in partitions.compactMap({ consumer.partition($0) }) {
                // Known once the first fetch of the partition is answered.
                _ = try await eventually { partition.end != nil }
                let end = partition.end ?? 0
                var position = partition.beginning ?? 0
                while position < end, let records = await partition.next(max: 1_000) {
                    all += records
                    position = (records.last?.offset ?? position) + 1
                }
            }
            break
        }
        await consumer.close(within: .zero)
        return all
    }

    /// The number in a record of the probe: in a `retrain-due`'s reason, or at the end of a `new-data`'s URI.
    private static func number(_ record: KafkaRecord) -> Int {
        do {
            let event = try EncodedEvent.decode(
                headers: record.headers, body: record.value, topic: record.topic, recordTime: record.timestamp)
            if record.topic == "new-data" {
                return Int(try event.payload(as: NewData.self).uri.split(separator: "/").last ?? "") ?? -1
            }
            return Int(try event.payload(as: RetrainDue.self).reason ?? "") ?? -1
        } catch {
            return -1
        }
    }
}
