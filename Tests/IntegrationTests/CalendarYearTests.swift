import Foundation
import Logging
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore
import NauraTestKit
import Testing

/// A year of the calendar, before real schedulers and a real database whose clock the test turns.
@Suite(
    "A year of the calendar", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct CalendarYearTests {
    /// A model's calendar, and what its slots look like on the wall.
    private struct Calendar {
        let model: String
        let cron: String
        let zone: String
        let wall: (hour: Int, minute: Int)
        /// The day on which the wall skips the slot's time, which it then shows an hour's change later.
        let skipped: String?
        let slots: Int
    }

    private static let calendars = [
        Calendar(
            model: "berlin-daily", cron: "30 2 * * *", zone: "Europe/Berlin", wall: (2, 30), skipped: "2026-03-29",
            slots: 365),
        Calendar(
            model: "new-york-daily", cron: "30 1 * * *", zone: "America/New_York", wall: (1, 30), skipped: nil,
            slots: 365),
        Calendar(
            model: "berlin-weekly", cron: "0 3 * * 1", zone: "Europe/Berlin", wall: (3, 0), skipped: nil, slots: 52),
    ]
    private static let start = Date(timeIntervalSince1970: 1_767_268_800)  // 2026-01-01 12:00 UTC
    private static let end = Date(timeIntervalSince1970: 1_798_804_800)  // 2027-01-01 12:00 UTC
    /// Where schedulers die, one after another, at some slot each; then the slots of the clocks' changes, at which one is
    /// killed as the clock strikes.
    private static let deaths = ["job-claimed", "job-settle-fenced", "job-settle-written", "job-settled"]
    private static let boundaries = [
        "2026-03-08T06:30:00Z", "2026-03-29T01:00:00Z", "2026-10-25T00:30:00Z", "2026-11-01T05:30:00Z",
    ]

    @Test(
        """
        Two schedulers, one killed at the slot again and again, announce every slot of a year with both changes of the \
        clock exactly once
        """)
    func year() async throws {
        try await RuntimeHarness.with { harness in
            try await TurnedClock.install(at: Self.start, in: harness.database)
            try await apply(in: harness.database)
            var stand = try SchedulerStand(harness, deaths: Self.deaths)
            let boundaries = try Set(Self.boundaries.map { try Date($0, strategy: .iso8601) })
            #expect(try await harness.waitFor(Self.calendars.count, in: "ledger.job", "state = 'waiting'"))
            var kills = 0
            while let due = try await TurnedClock.nextSlot(in: harness.database), due <= Self.end {
                try await TurnedClock.turn(to: due, in: harness.database)
                if boundaries.contains(due) {
                    try await stand.kill(kills % 2)
                    kills += 1
                }
                try await stand.waitUntilAnnounced(due)
            }
            #expect(kills == Self.boundaries.count)
            #expect(stand.deathsLeft.isEmpty, "no scheduler died at \(stand.deathsLeft)")
            await stand.stop()
            let said = try await Outbox.events(ofType: RetrainDue.type, limit: 10_000, in: harness.database)
            #expect(Set(said.map(\.envelope.id)).count == said.count, "an event was said twice")
            let due = try said.map { try $0.payload(as: RetrainDue.self) }
            for calendar in Self.calendars { try check(calendar, due.filter { $0.model.rawValue == calendar.model }) }
            #expect(try await harness.count("ledger.dead_letter") == 0)
        }
    }

    private func check(_ calendar: Calendar, _ due: [RetrainDue]) throws {
        var wall = Foundation.Calendar(identifier: .gregorian)
        wall.timeZone = try #require(TimeZone(identifier: calendar.zone))
        #expect(due.count == calendar.slots, "\(calendar.model): \(due.count) slots")
        var days: Set<String> = []
        for event in due {
            let slot = try #require(event.slot)
            let parts = wall.dateComponents([.year, .month, .day, .hour, .minute, .weekday], from: slot)
            let day = String(format: "%d-%02d-%02d", parts.year ?? 0, parts.month ?? 0, parts.day ?? 0)
            #expect(days.insert(day).inserted, "\(calendar.model): two slots on \(day)")
            let time = day == calendar.skipped ? (hour: 3, minute: 0) : calendar.wall
            #expect(parts.hour == time.hour && parts.minute == time.minute, "\(calendar.model): \(slot)")
            if calendar.slots == 52 { #expect(parts.weekday == 2) }
        }
    }

    private func apply(in database: Database) async throws {
        var models: [String: ModelDefinition] = [:]
        for calendar in Self.calendars {
            var model = TrainFixture.model
            model.name = calendar.model
            model.retrain.cron = calendar.cron
            model.retrain.timeZone = calendar.zone
            models[calendar.model] = model
        }
        let project = ProjectDefinition(
            name: "year", datasets: ["customers": DatasetDefinition(name: "customers", key: "customerid")],
            featureViews: Dictionary(uniqueKeysWithValues: TrainFixture.views.map { ($0.name, $0) }), models: models)
        try await database.transaction {
            _ = try await Projects.apply(project, sha256: "year", source: "", by: "test", in: $0)
        }
    }
}

/// A database's clock that stands until it is turned. Sessions opened after ``install(at:in:)`` find functions `now()`
/// and `clock_timestamp()` of this name before the server's own, and all of Naura's waiting is counted by those.
private enum TurnedClock {
    static func install(at moment: Date, in database: Database) async throws {
        for statement in [
            "create schema turned", "create table turned.clock (at timestamptz not null)",
            """
            create function turned.clock_timestamp() returns timestamptz language sql volatile
            as 'select at from turned.clock'
            """,
            "create function turned.now() returns timestamptz language sql stable as 'select at from turned.clock'",
            """
            do $$ begin execute
                format('alter database %I set search_path = turned, pg_catalog, public', current_database()); end $$
            """,
        ] { _ = try await database.update(Query(stringLiteral: statement)) }
        _ = try await database.update("insert into turned.clock values (\(moment))")
    }

    /// Turns the clock and has the schedulers look.
    static func turn(to moment: Date, in database: Database) async throws {
        try await database.transaction { transaction in
            try await transaction.execute("update turned.clock set at = greatest(at, \(moment))")
            try await transaction.notify("naura_job", "announce-slot")
        }
    }

    /// The next slot that somebody waits for.
    static func nextSlot(in database: Database) async throws -> Date? {
        try await database.query(
            "select min(due_at) as due from ledger.job where kind = 'announce-slot' and state in ('waiting', 'running')"
        ).first?.get("due", as: Date?.self)
    }
}

/// Two schedulers. One that has died is replaced, and the clock goes on by its lease.
private struct SchedulerStand {
    private let harness: RuntimeHarness
    private var schedulers: [WorkerProcess] = []
    /// Where the next ones are to die.
    private(set) var deathsLeft: [String]
    private var planned: [Int32: String] = [:]

    init(_ harness: RuntimeHarness, deaths: [String]) throws {
        self.harness = harness
        deathsLeft = deaths
        schedulers = [try start(), try start()]
    }

    private mutating func start() throws -> WorkerProcess {
        var environment = [
            "NAURA_DATABASE_URL": harness.databaseURL, "NAURA_KAFKA_BROKERS": harness.broker.brokers,
            "NAURA_ARTIFACTS": "/tmp", "NAURA_LEASE_SECONDS": "2",
        ]
        // Only one of the two at a time has a death before it, at its second slot.
        let death = planned.isEmpty ? deathsLeft.first : nil
        if let death { environment["NAURA_FAILPOINT"] = "\(death)=kill@2" }
        let process = try WorkerProcess("schedule", environment: environment)
        if let death { planned[process.pid] = death }
        return process
    }

    /// Kills one with the clock at its slot. It is replaced like any that died.
    func kill(_ number: Int) async throws { await schedulers[number].kill() }

    /// Waits until nobody waits for a slot up to `due` any more.
    mutating func waitUntilAnnounced(_ due: Date) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while try await harness.count("ledger.job", condition(due)) > 0 {
            if try replaceTheDead() { try await TurnedClock.turn(to: due + 3, in: harness.database) }
            guard ContinuousClock.now < deadline else {
                let logs = schedulers.map { String($0.log.suffix(2_000)) }
                throw HarnessError(description: "the slot of \(due) is not announced:\n\(logs)")
            }
        }
        _ = try replaceTheDead()
    }

    private func condition(_ due: Date) -> String {
        "kind = 'announce-slot' and state in ('waiting', 'running') "
            + "and due_at <= to_timestamp(\(due.timeIntervalSince1970))"
    }

    private mutating func replaceTheDead() throws -> Bool {
        var hasDied = false
        for place in schedulers.indices where !schedulers[place].isRunning {
            hasDied = true
            if let death = planned.removeValue(forKey: schedulers[place].pid),
                schedulers[place].log.contains("failpoint \(death) is reached")
            {
                deathsLeft.removeAll { $0 == death }
            }
            schedulers[place] = try start()
        }
        return hasDied
    }

    func stop() async {
        for scheduler in schedulers { #expect(await scheduler.stop() == 0) }
    }
}
