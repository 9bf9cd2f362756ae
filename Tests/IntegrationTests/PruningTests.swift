// What is deleted when its time is over, and what stays whatever its age.

import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore
import NauraTestKit
import Testing

@Suite(
    "Retention", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct PruningTests {
    private static let day = 86_400.0
    /// Days of the inbox that are past its retention.
    private static let oldDays = """
        pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'ledger.inbox'::regclass
        and c.relname < 'inbox_' || to_char(current_date - 16, 'YYYYMMDD')
        """

    private func count(_ rows: String, _ database: Database) async throws -> Int {
        let row = try await database.first(Query(stringLiteral: "select count(*) as rows from \(rows)"))
        return try row?.get("rows", as: Int.self) ?? -1
    }

    @Test("answers past their retention go, and those that a window still needs stay, however old")
    func predictions() async throws {
        try await TestDatabase.with { database in
            // A judged window, one that is closed and not judged, an open one; and answers of two versions in each.
            for (days, state, statistics) in [(50, "closed", "'{}'"), (45, "closed", "null"), (40, "open", "null")] {
                try await database.update(
                    Query(
                        stringLiteral: """
                            insert into naura.monitor_window (model, version, start_at, end_at, state, statistics)
                            values ('churn', 1, date_trunc('day', now()) - interval '\(days) days',
                                date_trunc('day', now()) - interval '\(days - 1) days', '\(state)', \(statistics))
                            """))
                try await database.update(
                    Query(
                        stringLiteral: """
                            insert into naura.prediction (model, id, version, arm, features, at)
                            select 'churn', '\(days)-' || v || '-' || n, v, 'champion', '{}',
                                date_trunc('day', now()) - interval '\(days) days' + make_interval(mins => n)
                            from generate_series(1, 20) n, generate_series(1, 2) v
                            """))
            }
            try await database.update(
                """
                insert into naura.prediction (model, id, version, arm, features, at)
                values ('churn', 'fresh', 1, 'champion', '{}', now() - interval '29 days')
                """)
            var deleted: [Int] = []
            repeat {
                deleted.append(
                    try await PredictionLog.prune(olderThanSeconds: 30 * Self.day, limit: 30, in: database))
            } while deleted.last == 30
            // 40 of the judged window's days, and the other version's, which no window needs.
            #expect(deleted == [30, 30, 20])
            #expect(try await count("naura.prediction where id = 'fresh'", database) == 1)
            #expect(try await count("naura.prediction where version = 1 and id like '45-%'", database) == 20)
            #expect(try await count("naura.prediction where version = 1 and id like '40-%'", database) == 20)
            #expect(try await count("naura.prediction", database) == 41)
            try await database.update("update naura.monitor_window set state = 'closed', statistics = '{}'")
            #expect(try await PredictionLog.prune(olderThanSeconds: 30 * Self.day, limit: 100, in: database) == 40)
        }
    }

    @Test("jobs go when they have been done for long; open, failed and cancelled ones stay, and so do lines")
    func jobs() async throws {
        try await TestDatabase.with { database in
            let requests = (0..<12).map {
                JobRequest(kind: "soak", key: "key-\($0 % 4)", about: "\($0)", arguments: "{}")
            }
            try await database.transaction { try await Jobs.file(requests, in: $0) }
            try await database.update(
                """
                update ledger.job set state = case when about::int < 6 then 'done' when about = '6' then 'failed'
                    when about = '7' then 'cancelled' else state end,
                    ended_at = case when about = '5' then now() when about::int < 8 then now() - interval '31 days' end
                """)
            #expect(try await count("ledger.job_line", database) == 4)
            #expect(try await Jobs.prune(doneForSeconds: 30 * Self.day, limit: 3, in: database) == 3)
            #expect(try await Jobs.prune(doneForSeconds: 30 * Self.day, limit: 3, in: database) == 2)
            #expect(try await Jobs.prune(doneForSeconds: 30 * Self.day, limit: 3, in: database) == 0)
            let left = try await database.query("select about from ledger.job order by id limit 20")
            #expect(try left.map { try $0.get("about", as: String.self) } == ["5", "6", "7", "8", "9", "10", "11"])
            #expect(try await count("ledger.job_line where not is_running", database) == 4)
        }
    }

    @Test("sent events go when they are old; what waits to be sent, and what is young, stays")
    func outbox() async throws {
        try await TestDatabase.with { database in
            func append(_ count: Int, daysAgo: Double) async throws {
                let events = try (0..<count).map { _ in
                    try EncodedEvent(
                        RetrainDue(model: "churn", requestedBy: "test", reason: "none"), id: .random(),
                        source: "/naura/test",
                        time: Date(timeIntervalSinceNow: -daysAgo * Self.day), causeID: nil, rootID: nil)
                }
                try await database.transaction { try await Outbox.append(events, in: $0) }
            }
            try await append(50, daysAgo: 9)
            try await append(5, daysAgo: 6)
            #expect(try await Outbox.prune(olderThanSeconds: 7 * Self.day, limit: 20, in: database) == 0)
            // Two of the old ones wait, behind those that were sent.
            try await database.update("update ledger.stream set sent = 48 where next > 1")
            var deleted: [Int] = []
            repeat {
                deleted.append(try await Outbox.prune(olderThanSeconds: 7 * Self.day, limit: 20, in: database))
            } while deleted.last == 20
            #expect(deleted == [20, 20, 8])
            try await database.update("update ledger.stream set sent = next - 1")
            #expect(try await Outbox.prune(olderThanSeconds: 7 * Self.day, limit: 20, in: database) == 2)
            #expect(try await count("ledger.outbox", database) == 5)
        }
    }

    @Test(
        "a worker prunes by itself, as its configuration says, while it works",
        .enabled(if: TestBroker.isAvailable, "needs the program tansu"))
    func worker() async throws {
        try await RuntimeHarness.with { harness in
            _ = try await harness.database.query("select ledger.ensure_inbox_day(current_date - 17)")
            #expect(try await harness.count(Self.oldDays) == 1)
            let worker = try await harness.startReady(
                "probe",
                ["NAURA_PRUNE_SECONDS": "1", "NAURA_KEEP_OUTBOX_SECONDS": "10", "NAURA_KEEP_JOBS_SECONDS": "10"])
            try await harness.send(try (0..<40).map { try RuntimeHarness.event($0 % 4 == 0 ? "job" : "ok", $0) })
            #expect(try await harness.waitFor(10, in: "probe.settled"))
            #expect(try await harness.waitFor(50, in: "ledger.outbox"))
            #expect(try await harness.count("ledger.foreign_event") == 40)
            for table in ["ledger.outbox", "ledger.foreign_event", "ledger.job"] {
                #expect(try await eventually(within: .seconds(40)) { try await harness.count(table) == 0 }, "\(table)")
            }
            #expect(try await harness.count(Self.oldDays) == 0)
            #expect(try await harness.count("ledger.inbox", "stage = 'probe'") == 40)
            #expect(await worker.stop() == 0)
        }
    }
}
