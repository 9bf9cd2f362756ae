// A database that is restored from a backup knows less than Kafka does. The steps are those of docs/operating.md, *When a
// database is restored from a backup*.

import Foundation
import Logging
import NauraEvents
import NauraKafka
import NauraPostgres
import NauraProcess
import NauraTestKit
import Testing

private let hasTools = ["pg_dump", "psql"].allSatisfy { program in
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
        FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
    }
}

@Suite(
    "A database from a backup", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"),
    .enabled(if: hasTools, "needs pg_dump and psql"))
struct RestoreTests {
    @Test(
        """
        What was handled after the backup is handled again, once, and followed by the same events, from a broker that \
        is refilled and from one whose offsets are set back
        """, arguments: [true, false])
    func restored(isEmptied: Bool) async throws {
        let backup = FileManager.default.temporaryDirectory.appending(path: "naura-backup-\(UUID().uuidString).sql")
        defer { try? FileManager.default.removeItem(at: backup) }
        try await RuntimeHarness.with { harness in
            let (probe, sink) = (try await harness.startReady(), try await harness.startReady("sink"))
            try await harness.publish(try Self.events(0..<60))
            // In the midst of it: some are handled, some are not; streams are held, jobs are running.
            #expect(try await harness.waitFor(10, in: "probe.effect"))
            try await Self.run("pg_dump", ["--dbname", harness.databaseURL, "--file", backup.path])
            let afterwards = try Self.events(60..<120)
            try await harness.publish(afterwards)
            #expect(try await harness.waitFor(120 + 12, in: "probe.sink"))
            #expect(await probe.stop() == 0)
            #expect(await sink.stop() == 0)

            if isEmptied {
                try await harness.broker.restartEmpty()
            } else {
                for (group, topic) in [("naura-probe", "new-data"), ("naura-sink", "retrain-due")] {
                    try await Self.rewind(group, topic, harness)
                }
            }
            try await TestDatabase.withURL(isEmpty: true) { url in
                try await Self.run("psql", ["--quiet", "--dbname", url, "--file", backup.path])
                try await Self.goOn(harness, on: url, again: isEmptied ? afterwards : [])
            }
        }
    }

    /// Workers on the restored database; `again` is what its publishers publish once more.
    private static func goOn(_ harness: RuntimeHarness, on url: String, again: [EncodedEvent]) async throws {
        var logger = Logger(label: "naura.tests")
        logger.logLevel = .error
        let database = Database(url: url, connectionsMax: 4, applicationName: "naura test", logger: logger)
        let restored = RuntimeHarness(
            broker: harness.broker, database: database, databaseURL: url, producer: harness.producer)
        let lost = try await restored.count("probe.effect")
        #expect((10..<120).contains(lost), "the backup is of no moment in between")
        let (probe, sink) = (try restored.start(), try restored.start("sink"))
        try await restored.publish(again)
        #expect(try await restored.waitFor(120 + 12, in: "probe.sink"), "\(probe.log.suffix(3_000))")
        #expect(try await restored.waitUntilSent())
        #expect(try await restored.count("probe.effect") == 120)
        #expect(try await restored.count("probe.sink") == 120 + 12)
        #expect(try await restored.count("probe.settled") == 12)
        for (table, column) in [("probe.effect", "event_id"), ("probe.sink", "event_id"), ("probe.settled", "job")] {
            #expect(try await restored.repeated(in: table, by: column) == 0, "\(table)")
        }
        #expect(try await restored.count("ledger.dead_letter") == 0)
        #expect(await probe.stop() == 0)
        #expect(await sink.stop() == 0)
        await database.close()
    }

    /// Every tenth files a job, which says something too.
    private static func events(_ numbers: Range<Int>) throws -> [EncodedEvent] {
        try numbers.map { number in
            try RuntimeHarness.event(number % 10 == 0 ? "job" : "ok", number, key: "key\(number % 7)")
        }
    }

    /// Sets all offsets of `group` back to the beginning, which lies before any backup.
    private static func rewind(_ group: String, _ topic: String, _ harness: RuntimeHarness) async throws {
        let consumer = try KafkaConsumer(configuration: harness.broker.configuration, group: group, topics: [topic])
        for await event in consumer.events() {
            guard case .assigned(let partitions) = event, partitions.count == 4 else { continue }
            try await consumer.commit(
                Dictionary(uniqueKeysWithValues: partitions.map { ($0, Int64(0)) }))
            break
        }
        await consumer.close(within: .seconds(5))
    }

    private static func run(_ program: String, _ arguments: [String]) async throws {
        let log = FileManager.default.temporaryDirectory.appending(path: "naura-\(program)-\(UUID().uuidString).log")
        defer { try? FileManager.default.removeItem(at: log) }
        let launch = Launch(
            executable: program, arguments: arguments, environment: ProcessInfo.processInfo.environment, log: log.path)
        let code = try await launch.run()
        guard code == 0 else {
            throw HarnessError(
                description: "\(program) ended with \(code): \(try String(contentsOf: log, encoding: .utf8))")
        }
    }
}
