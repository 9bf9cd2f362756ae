import Foundation
import Logging
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore
import NauraTestKit
import Testing

/// What `naura replay` says, as far as tests ask.
private struct Report: Decodable {
    struct Table: Decodable {
        let table: String
        let outcome: String
        let rows: Int?
        let note: String?
    }
    struct Untold: Decodable { let type: String, source: String, reason: String?, count: Int }

    let events: Int
    let told: Int
    let unknown: Int
    let untold: [Untold]
    let tables: [Table]

    /// The names of the tables with this outcome.
    func tables(_ outcome: String) -> [String] { tables.filter { $0.outcome == outcome }.map(\.table) }
}

@Suite(
    "History told again", .serialized, .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct ReplayTests {
    @Test("history into an empty database gives the same tables, with one instance of each worker and with three")
    func sameTables() async throws {
        try await Self.withHistory { history, url in
            try await Self.live(history)
            try await Self.loadCheapEvents(history)
            var events = 0
            for instances in [1, 3] {
                try await TestDatabase.withURL(isEmpty: true) { copy in
                    let (code, report, log) = try await Self.replay(from: url, into: copy, instances: instances)
                    #expect(code == 0, "\(instances): \(log)")
                    #expect(report.told == report.events && report.unknown == 0 && report.untold.isEmpty)
                    #expect(report.tables("differs") == [])
                    // What is compared is not empty, or equality would mean little.
                    let empty = report.tables.filter { $0.outcome == "equal" && $0.rows == 0 }.map(\.table)
                    #expect(empty == [], "\(instances)")
                    events = report.events
                }
            }
            #expect(events > 10_000)
            // One row that is another one is found.
            try await history.database.update(
                "update naura.ground_truth set label = 'other' where ctid = (select min(ctid) from naura.ground_truth)")
            try await history.database.update("update naura.route set weight = 0.125")
            try await TestDatabase.withURL(isEmpty: true) { copy in
                let (code, report, log) = try await Self.replay(from: url, into: copy, instances: 1)
                #expect(code == 1, "\(log)")
                #expect(report.tables("differs") == ["naura.route", "naura.ground_truth"])
            }
        }
    }

    @Test("a copy runs no job, files none, and has nothing left to send")
    func copyIsAtRest() async throws {
        try await Self.withHistory { history, url in
            try await history.apply()
            try await history.publish([
                NewData(dataset: "customers", uri: try history.file("a.csv", customers: 20, seed: 1))
            ])
            try await TestDatabase.withURL(isEmpty: true) { copy in
                let (code, report, log) = try await Self.replay(from: url, into: copy, instances: 1)
                #expect(code == 0, "\(log)")
                #expect(report.tables("not-compared").contains("naura.feature_row"))
                try await Self.with(copy) { database in
                    let row = try #require(
                        try await database.first(
                            """
                            select (select count(*) from ledger.job) as jobs,
                                (select count(*) from naura.feature_row) as features,
                                (select sum(next - 1 - sent)::bigint from ledger.stream) as unsent
                            """))
                    let (jobs, features) = (try row.get("jobs", as: Int.self), try row.get("features", as: Int.self))
                    let unsent = try row.get("unsent", as: Int.self)
                    #expect(jobs == 0 && features == 0 && unsent == 0)
                }
            }
        }
    }

    @Test("what went straight to Kafka is told from a file; without it, what needs it is not compared")
    func fromFile() async throws {
        try await Self.withHistory { history, url in
            try await history.apply()
            try await history.publish([Self.outcome(1)])
            let answers = try await history.answer((0..<20).map(Self.answer))
            let lines = try answers.map { String(decoding: try $0.structured(), as: UTF8.self) }
            let file = "\(history.folder)/predictions.jsonl"
            try lines.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
            for files in [[], [file]] {
                try await TestDatabase.withURL(isEmpty: true) { copy in
                    let (code, report, log) = try await Self.replay(from: url, files, into: copy, instances: 1)
                    #expect(code == 0, "\(log)")
                    #expect(report.told == (files.isEmpty ? 1 : 21), "\(log)")
                    let traffic = ["naura.prediction", "naura.monitor_window"]
                    #expect(report.tables(files.isEmpty ? "not-compared" : "equal").filter(traffic.contains) == traffic)
                }
            }
            try "{}".write(toFile: file, atomically: true, encoding: .utf8)
            try await TestDatabase.withURL(isEmpty: true) { copy in
                let bad = try await Self.run(["replay", "--from", url, "--from", file, "--into", copy])
                #expect(bad.code == 1 && bad.log.contains("line 1 is no event"), "\(bad.log)")
                // Nothing was made, so that the next attempt finds the database empty.
                try await Self.with(copy) { database in
                    let tables = try await Migrator.tables(in: database)
                    #expect(tables == [])
                }
            }
        }
    }

    @Test("a database that holds tables is refused, and so is history that cannot be reached or has lost its beginning")
    func refusals() async throws {
        try await Self.withHistory { history, url in
            try await history.apply()
            try await history.publish((1...3).map { _ in Self.merge("acme/other") })
            let onto = try await Self.run(["replay", "--from", url, "--into", url])
            #expect(
                onto.code == 1 && onto.log.contains("holds") && onto.log.contains("make an empty one"), "\(onto.log)")
            try await TestDatabase.withURL(isEmpty: true) { copy in
                let away = try await Self.run([
                    "replay", "--from", "postgresql://nobody@127.0.0.1:1/none", "--into", copy,
                ])
                #expect(away.code == 1 && away.log.contains("history (--from) cannot be read"), "\(away.log)")
            }
            try await history.database.update("delete from ledger.outbox where number = 1")
            try await TestDatabase.withURL(isEmpty: true) { copy in
                let cut = try await Self.run(["replay", "--from", url, "--into", copy])
                #expect(cut.code == 1 && cut.log.contains("history is not whole"), "\(cut.log)")
            }
        }
    }

    @Test("every table is compared, or left out with a reason")
    func everyTableIsNamed() async throws {
        try await TestDatabase.with { database in
            let named =
                ComparedTables.all.map(\.name) + [HistorySource.eventsTable.name]
                + ComparedTables.leftOut.map(\.table) + HistorySource.leftOut.map(\.table)
            let tables = try await Migrator.tables(in: database).filter {
                ($0.hasPrefix("naura.") || $0.hasPrefix("ledger.")) && !$0.hasPrefix("ledger.inbox_")
            }
            #expect(Set(tables).subtracting(named).sorted() == [])
            #expect(Set(named).subtracting(tables).sorted() == [])
            #expect(Set(named).count == named.count)
        }
    }

    // MARK: - A history

    /// Everything that the loop can do, some of it twice.
    private static func live(_ history: LivedHistory) async throws {
        try await history.apply()
        // Refused: no such dataset, no such file, no such label; then a first version, which nobody precedes.
        try await history.publish([NewData(dataset: "nobody", uri: "file:///none.csv")])
        try await history.publish([NewData(dataset: "customers", uri: "file:///none.csv")])
        let wrong = try history.file("wrong.csv", customers: 40, seed: 9, label: "Perhaps")
        try await history.publish([NewData(dataset: "customers", uri: wrong)])
        let first = try history.file("first.csv", customers: 1_200, seed: 1)
        try await history.publish([NewData(dataset: "customers", uri: first)])
        // The same bytes once more, and a training that nothing new can come of.
        try await history.publish([NewData(dataset: "customers", uri: first)])
        try await history.publish([RetrainDue(model: "churn", requestedBy: "somebody", reason: "to see")])
        try await history.publish([RetrainDue(model: "unknown", requestedBy: "somebody")])
        try await history.apply(channels: ["on-call", "team"])
        try await history.publish([Self.merge("acme/churn")])
        // A second version, whose canary goes on; then a third, whose canary is taken back.
        try await history.publish([
            NewData(dataset: "customers", uri: try history.file("second.csv", customers: 900, seed: 2))
        ])
        try await history.endCanary(isBad: false)
        try await history.publish([
            NewData(dataset: "customers", uri: try history.file("third.csv", customers: 900, seed: 3))
        ])
        try await history.endCanary(isBad: true)
        try await history.receive(Self.merge("acme/churn"))
        try await drift(history)
    }

    /// Traffic unlike the training data, and like nothing new afterwards.
    private static func drift(_ history: LivedHistory) async throws {
        var random = SplitMix64(seed: 5)
        for window in 0..<3 {
            let start = Double(1_760_000_040 + 60 * window)
            let items = (0..<120).map { index in
                Predictions.Item(
                    predictionID: "d-\(window)-\(index)", unit: "u-\(window)-\(index)", version: 1, arm: .champion,
                    features: [
                        "tenure": .number(Double(random.nextIndex(below: 4))), "contract": .text("Weekly"),
                        "charge": .number(900 + random.nextUnit()),
                    ], score: random.nextUnit(), at: Date(timeIntervalSince1970: start + Double(index % 50)))
            }
            try await history.publish([Predictions(model: "churn", items: items)], from: "https://shop.example")
        }
    }

    /// Ten thousand events that cost little, most of which lead to nothing.
    private static func loadCheapEvents(_ history: LivedHistory) async throws {
        try await history.publish((0..<3_000).map(outcome))
        try await history.publish((0..<3_000).map(answer), from: "https://shop.example")
        try await history.publish((0..<3_000).map { merge("acme/other-\($0 % 100)") })
        try await history.publish(
            (0..<700).map { NewData(dataset: DatasetID(rawValue: "set-\($0 % 50)"), uri: "file:///\($0).csv") })
        try await history.publish((0..<100).map { merge("acme/churn", number: $0) })
    }

    private static func moment(_ seconds: Double) -> Date { Date(timeIntervalSince1970: 1_760_100_000 + seconds) }

    private static func outcome(_ number: Int) -> GroundTruth {
        let item = GroundTruth.Item(
            predictionID: "p-\(number)", label: number % 3 == 0 ? "Yes" : "No", observedAt: moment(Double(number)))
        return GroundTruth(model: "churn", items: [item])
    }

    private static func answer(_ number: Int) -> Predictions {
        let item = Predictions.Item(
            predictionID: "p-\(number)", version: 1, arm: .champion,
            features: ["tenure": .number(Double(number % 70))], score: 0.5, at: moment(Double(number) / 20))
        return Predictions(model: number % 2 == 0 ? "churn" : "other", items: [item])
    }

    private static func merge(_ repository: String, number: Int = 0) -> CodeMerged {
        CodeMerged(
            repository: repository, commit: String(format: "%040x", number + 10), ref: "refs/heads/main",
            paths: ["churn/train.py"], author: "somebody", mergedAt: Date())
    }

    // MARK: - Running it

    private static func withHistory(_ body: (LivedHistory, String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer {
            do { try FileManager.default.removeItem(atPath: folder) } catch { Issue.record("\(error)") }
        }
        try await TestDatabase.withURL { url in
            try await with(url) { try await body(LivedHistory($0, folder: folder), url) }
        }
    }

    private static func with(_ url: String, _ body: (Database) async throws -> Void) async throws {
        let database = Database(
            url: url, connectionsMax: 4, applicationName: "naura test", logger: .init(label: "test"))
        do { try await body(database) } catch {
            await database.close()
            throw error
        }
        await database.close()
    }

    private static func replay(
        from source: String, _ files: [String] = [], into copy: String, instances: Int
    ) async throws -> (code: Int32, report: Report, log: String) {
        let (code, log) = try await run(
            ["replay", "--from", source, "--into", copy, "--instances", "\(instances)", "--json"]
                + files.flatMap { ["--from", $0] })
        let line = try #require(log.split(separator: "\n").first { $0.hasPrefix("{") }, "\(code): \(log)")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return (code, try decoder.decode(Report.self, from: Data(line.utf8)), log)
    }

    private static func run(_ arguments: [String]) async throws -> (code: Int32, log: String) {
        let program = try WorkerProcess("naura", arguments: arguments, environment: [:])
        return (await program.exitCode(), program.log)
    }
}

extension LivedHistory {
    /// Lets the running canary see units until it has ended.
    func endCanary(isBad: Bool) async throws {
        for step in 0..<12 {
            let active = try await database.transaction { try await Rollouts.active(of: "churn", in: $0) }
            guard active != nil else { return }
            try await window(units: 3_000 + step, isBad: isBad)
        }
        Issue.record("the canary does not end")
    }
}
