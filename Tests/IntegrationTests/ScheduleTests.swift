import Foundation
import Logging
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore
import NauraTestKit
import Testing

@testable import NauraStage
@testable import schedule

struct LatestSlotTests {
    @Test("the latest slot is the last one up to a moment, however rare the slots are")
    func latest() throws {
        let moment = Date(timeIntervalSince1970: 1_764_000_030)  // 2025-11-24 16:00:30 UTC, a Monday
        let cases: [(String, TimeInterval)] = [
            ("* * * * *", 1_764_000_000), ("0 3 * * 1", 1_763_953_200), ("0 0 1 1 *", 1_735_689_600),
            ("*/7 * * * 0", 1_763_942_160),
        ]
        for (cron, expected) in cases {
            let schedule = try CronSchedule(cron, timeZone: "UTC")
            #expect(schedule.latest(upTo: moment)?.timeIntervalSince1970 == expected, "\(cron)")
        }
    }
}

@Suite("The calendar", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct ScheduleTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let runner = AnnounceSlot(logger: quiet)

    private func with(cron: String?, _ body: (Database) async throws -> Void) async throws {
        try await TestDatabase.with { database in
            try await apply(cron, in: database)
            try await body(database)
        }
    }

    private func apply(_ cron: String?, in database: Database) async throws {
        var model = TrainFixture.model
        model.retrain.cron = cron
        let project = ProjectDefinition(
            name: "churn", datasets: ["customers": DatasetDefinition(name: "customers", key: "customerid")],
            featureViews: Dictionary(uniqueKeysWithValues: TrainFixture.views.map { ($0.name, $0) }),
            models: ["churn": model])
        try await database.transaction {
            _ = try await Projects.apply(project, sha256: "\(cron ?? "none")", source: "", by: "test", in: $0)
        }
    }

    private func file(in database: Database) async throws {
        try await database.transaction { transaction in
            let batch = Batch(transaction: transaction)
            try await FileSlots.file(logger: Self.quiet, in: Work(batch, origin: "schedule", cause: nil))
            try await batch.flushShared()
        }
    }

    private func jobs(in database: Database) async throws -> [String] {
        try await database.query("select state from ledger.job where kind = 'announce-slot' order by id limit 99")
            .map { try $0.get("state") }
    }

    private func comeDue(in database: Database) async throws {
        try await database.update("update ledger.job set due_at = now() where state = 'waiting'")
    }

    @Test("a slot is announced exactly once, though two schedulers file and announce it, and the next one waits")
    func exactlyOnce() async throws {
        try await with(cron: "0 3 1 1 *") { database in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 { group.addTask { try await file(in: database) } }
                try await group.waitForAll()
            }
            #expect(try await jobs(in: database) == ["waiting"])
            #expect(try await runJobs(of: Self.runner, in: database) == 0)
            try await comeDue(in: database)
            let ran = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<2 { group.addTask { try await runJobs(of: Self.runner, in: database) } }
                return try await group.reduce(0, +)
            }
            #expect(ran == 1)
            try await file(in: database)
            let due = try await said(RetrainDue.self, in: database)
            #expect(due.count == 1)
            #expect(due.first?.model == "churn")
            #expect(due.first?.slot != nil)
            #expect(try await jobs(in: database).filter { $0 == "waiting" }.count <= 2)
        }
    }

    @Test("of the slots missed while no scheduler ran, the latest alone is announced")
    func missed() async throws {
        try await with(cron: "* * * * *") { database in
            let calendar = ModelCalendar(model: "churn", cron: "* * * * *", timeZone: "UTC")
            let slot = Date(timeIntervalSince1970: 1_700_000_040)
            let arguments = AnnounceSlot.Arguments(calendar: calendar, slot: slot)
            try await database.update(
                """
                insert into ledger.job (kind, key, about, arguments) values
                    ('announce-slot', 'old', 'old', \(jsonText: String(
                        decoding: try JSONEncoder().encode(arguments), as: UTF8.self)))
                """)
            let before = Date()
            try await runJobs(of: Self.runner, in: database)
            let due = try await said(RetrainDue.self, in: database)
            #expect(due.count == 1)
            let announced = try #require(due.first?.slot)
            #expect(announced > before - 61 && announced <= Date())
            #expect(try await jobs(in: database) == ["done", "waiting"])
        }
    }

    @Test("a slot of a calendar that was changed or taken away is not announced")
    func changed() async throws {
        for later in ["0 4 1 1 *", nil] {
            try await with(cron: "0 3 1 1 *") { database in
                try await file(in: database)
                try await apply(later, in: database)
                try await file(in: database)
                try await comeDue(in: database)
                try await database.update("update ledger.job set state = 'cancelled' where about like '%0 4 1 1%'")
                try await runJobs(of: Self.runner, in: database)
                #expect(try await said(RetrainDue.self, in: database).isEmpty)
            }
        }
    }
}
