import ArgumentParser
import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraProcess
import NauraTestKit
import Testing

@testable import naura

@Suite("The dates of a backfill")
struct BackfillRangeTests {
    private func dates(
        _ from: String, _ to: String, _ step: BackfillRange.Step, _ uri: String = "file:///{yyyy-MM-dd}.csv"
    ) throws -> [BackfillDate] { try BackfillRange.dates(from: from, to: to, every: step, uri: uri) }

    @Test("months, weeks and days run from the first to the last, both included, over the ends of years and Februaries")
    func steps() throws {
        let months = try dates("2012-11", "2013-02", .month, "file:///data/{yyyy}/flights-{yyyy-MM}.csv")
        #expect(months.map(\.name) == ["2012-11", "2012-12", "2013-01", "2013-02"])
        #expect(months.map(\.uri).first == "file:///data/2012/flights-2012-11.csv")
        #expect(CodableTimes.string(from: months[3].to) == "2013-03-01T00:00:00.000000Z")
        #expect(zip(months, months.dropFirst()).allSatisfy { $0.to == $1.from })
        #expect(try dates("2024-02-28", "2024-03-01", .day).map(\.name) == ["2024-02-28", "2024-02-29", "2024-03-01"])
        #expect(try dates("2012-12-26", "2013-01-08", .week).map(\.name) == ["2012-12-26", "2013-01-02"])
        #expect(try dates("2013-01", "2013-01", .month).map(\.uri) == ["file:///2013-01-01.csv"])
        #expect(try dates("1990-01-01", "2016-12-31", .day).count == 9_862)
    }

    @Test("a path becomes an address after the date stands in it")
    func paths() throws {
        #expect(
            try dates("2013-01", "2013-01", .month, "/data/a b/{yyyyMM}.csv")[0].uri == "file:///data/a%20b/201301.csv")
    }

    @Test(
        "a range or an address that cannot be meant is refused, with the flag that is at fault",
        arguments: [
            ("2013-13", "2013-14", "month", "{MM}", "--from"), ("2013-01-01", "2013-02-01", "month", "{MM}", "--from"),
            ("2013-01", "2013-02", "day", "{dd}", "--from"), ("2013-02-30", "2013-03-01", "day", "{MM-dd}", "--from"),
            ("2013-02", "2013-1", "month", "{MM}", "--to"), ("2013-02", "2013-01", "month", "{MM}", "--to"),
            ("+201-01", "2013-01", "month", "{MM}", "--from"),
            ("2013-01", "2013-03", "month", "data.csv", "all dates"),
            ("2013-01", "2013-03", "month", "{yyyy}", "same file"),
            ("2012-01", "2013-01", "month", "{MM}", "same file"),
            ("2013-01", "2013-03", "month", "{MMM}", "expected yyyy"),
            ("2013-01", "2013-03", "month", "{yyyy-mm}", "expected yyyy"),
            ("2013-01", "2013-03", "month", "{MM", "no }"),
            ("2013-01", "2013-03", "month", "{MM}{}", "expected yyyy"),
            ("1900-01-01", "2013-01-01", "day", "{yyyy-MM-dd}", "more than 10000"),
        ])
    func refused(_ from: String, _ to: String, _ step: String, _ uri: String, _ words: String) throws {
        let step = try #require(BackfillRange.Step(rawValue: step))
        let error = #expect(throws: ValidationError.self) { try dates(from, to, step, uri) }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test("a date's event has one id for dataset, date and address, whatever the range")
    func ids() throws {
        let (short, long) = (try dates("2013-02", "2013-02", .month), try dates("2013-01", "2013-12", .month))
        #expect(BackfillRun.id(of: short[0], in: "flights") == BackfillRun.id(of: long[1], in: "flights"))
        #expect(BackfillRun.id(of: short[0], in: "flights") != BackfillRun.id(of: short[0], in: "trains"))
        #expect(Set(long.map { BackfillRun.id(of: $0, in: "flights") }).count == 12)
    }
}

/// The program against a database; what workers would say is said by the test.
@Suite(
    "naura backfill", .timeLimit(.minutes(2)),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct BackfillCommandTests {
    private static let command = [
        "backfill", "flights", "--uri", "file:///data/{yyyy-MM}.csv", "--from", "2013-01", "--to", "2013-05",
    ]

    /// Defines the dataset.
    private func withFlights(_ body: (Program, Database) async throws -> Void) async throws {
        try await Program.withDatabase { naura, database in
            try naura.write("columns: { id: { type: text } }\n", to: "flights.yaml")
            try naura.write(
                "project: air\ndatasets:\n  flights: { key: id, contract: flights.yaml }\n", to: "naura.yaml")
            let applied = try await naura("apply")
            #expect(applied.code == 0, "\(applied.errors)")
            try await body(naura, database)
        }
    }

    /// The addresses published, in order, once there are `count`.
    private func published(_ count: Int, _ database: Database) async throws -> [String] {
        var found: [NewData] = []
        _ = try await eventually(within: .seconds(20)) {
            found = try await said(NewData.self, in: database)
            return found.count >= count
        }
        #expect(found.allSatisfy { $0.backfill == true && $0.window != nil })
        return found.map(\.uri)
    }

    /// Ends the chain of the date at `uri` as workers would: rows that concern no model, or a refusal.
    private func answer(_ uri: String, isGood: Bool, _ database: Database) async throws {
        let events = try await Outbox.events(ofType: NewData.type, in: database)
        let known = try events.first { try $0.payload(as: NewData.self).uri == uri }
        let id = try #require(known).envelope.id
        guard isGood else {
            let refusal = DataRejected(
                dataset: "flights", uri: uri, violations: [.init(rule: "type", count: 1, message: "it is no number")])
            let event = try EncodedEvent(
                refusal, id: EventID(rawValue: "no-\(id)"), source: "/naura/validate", time: Date(), causeID: id,
                rootID: id)
            _ = try await Publisher.publish(event, in: database)
            return
        }
        let ready = FeaturesReady(
            dataset: "flights", snapshot: String(repeating: "a", count: 64), number: 1, featureViews: [], rows: 3,
            backfill: true)
        let event = try EncodedEvent(
            ready, id: EventID(rawValue: "ready-\(id)"), source: "/naura/featurize", time: Date(), causeID: id,
            rootID: id)
        let key = InboxKey(event.envelope)
        try await Inbox.ensure(days: [key.day], in: database)
        try await database.transaction { transaction in
            try await Publisher.publish(event, in: transaction)
            _ = try await Inbox.claim([key], for: "train-new-data", in: transaction)
        }
    }

    private func uri(_ month: Int) -> String { "file:///data/2013-0\(month).csv" }

    @Test("killed at any moment and begun again it goes on where it was: oldest first, two at a time, nothing twice")
    func resumes() async throws {
        try await withFlights { naura, database in
            let first = try naura.start(Self.command)
            #expect(try await published(2, database) == [uri(1), uri(2)])
            try await answer(uri(1), isGood: true, database)
            #expect(try await published(3, database) == [uri(1), uri(2), uri(3)])
            first.send(SIGKILL)
            #expect(try await eventually { Children.collectEnded([first.pid])[first.pid] != nil })

            // Two are on their way, so a second run publishes none, and tells so when its time is up.
            let short = try await naura.run(Self.command + ["--json", "--timeout", "1s"])
            #expect(short.code == 4 && short.errors.contains("goes on where"), "\(short.errors)")
            #expect(
                try short.array().map { $0["outcome"] as? String }
                    == ["nothing-to-do", "open", "open", "not-published", "not-published"])
            #expect(try await published(3, database).count == 3)

            async let second = naura.run(Self.command + ["--json"])
            for month in 2...5 {
                #expect(try await published(min(month + 1, 5), database).count == min(month + 1, 5))
                try await answer(uri(month), isGood: month != 4, database)
            }
            let result = try await second
            #expect(result.code == 3, "\(result.errors)")
            #expect(result.errors.contains("2013-02  was published before"))
            let rows = try result.array()
            #expect(rows.map { $0["date"] as? String } == (1...5).map { "2013-0\($0)" })
            #expect(
                rows.map { $0["outcome"] as? String }
                    == ["nothing-to-do", "nothing-to-do", "nothing-to-do", "rejected", "nothing-to-do"])
            #expect((rows[3]["reason"] as? String)?.contains("it is no number") == true)
            #expect(try await published(5, database) == (1...5).map(uri))
        }
    }

    @Test("a date that the outbox has long forgotten is told by its snapshot, and not published again")
    func forgotten() async throws {
        try await withFlights { naura, database in
            let dates = try BackfillRange.dates(
                from: "2013-01", to: "2013-01", every: .month, uri: "file:///data/{yyyy-MM}.csv")
            _ = try await database.update(
                """
                insert into naura.snapshot (dataset, number, uri, format, state, event_id, root_id, arrived_at)
                values ('flights', 1, 'x', 'csv', 'ready', \(BackfillRun.id(of: dates[0], in: "flights").rawValue), 'r',
                    now())
                """)
            let arguments = Array(Self.command.dropLast()) + ["2013-01"]
            let result = try await naura.run(arguments)
            #expect(result.code == 0 && result.output.contains("snapshot 1 is ready"), "\(result.output)")
            #expect(try await said(NewData.self, in: database).isEmpty)
        }
    }

    @Test("what cannot be meant is refused before anything is published")
    func errors() async throws {
        try await withFlights { naura, database in
            for (more, words) in [
                (["--to", "2012-01"], "before --from"), (["--max-active", "0"], "1 to 100"),
                (["--every", "hour"], "hour"),
                (["--uri", "data.csv"], "one file for all dates"), (["--timeout", "soon"], "--timeout"),
            ] {
                var arguments = Self.command
                if let place = arguments.firstIndex(of: more[0]) {
                    arguments[place + 1] = more[1]
                } else {
                    arguments += more
                }
                let result = try await naura.run(arguments)
                #expect(result.code == 64 && result.errors.contains(words), "\(more): \(result.errors)")
            }
            let unknown = try await naura.run(Self.command.map { $0 == "flights" ? "fights" : $0 })
            #expect(unknown.code == 1 && unknown.errors.contains("no dataset fights"), "\(unknown.errors)")
            #expect(try await said(NewData.self, in: database).isEmpty)
        }
    }
}
