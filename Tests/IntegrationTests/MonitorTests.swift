import Foundation
import Logging
import NauraData
import NauraEvents
import NauraLedger
import NauraModels
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import monitor
@testable import train

/// A trained model and its made-up traffic.
private struct Watched {
    let fixture: TrainFixture
    let model: ServedModel
    let closer: CloseWindow
    var database: Database { fixture.database }

    static let windowSeconds = 60.0
    /// The start of the first window.
    static let start = Date(timeIntervalSince1970: 1_760_000_040)

    static func with(
        policy: MonitorPolicy = MonitorPolicy(windowSeconds: windowSeconds, latenessSeconds: 5),
        _ body: (Watched) async throws -> Void
    ) async throws {
        try await TrainFixture.with(change: { $0.monitor = policy }) { fixture in
            let ready = try await fixture.publish(1, noise: 0.1)
            try await handle(ready, by: FoldNewData(), id: "ready-1", in: fixture.database)
            try await runJobs(of: fixture.trainer, in: fixture.database)
            let version = try #require(
                try await fixture.database.transaction { try await ModelVersions.find("churn", 1, in: $0) })
            let files = try fixture.artifacts.packageFiles(version.artifact)
            let model = try ServedModel.load(digest: version.digest) { try #require(files[$0]) }
            try await body(
                Watched(
                    fixture: fixture, model: model,
                    closer: CloseWindow(
                        history: PredictionHistory(fixture.database), references: References(fixture.artifacts),
                        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })))
        }
    }

    /// Answers to customers like those of the training, or to others, in window `window` counted from the first.
    func answers(
        _ count: Int, window: Int, isShifted: Bool = false, seed: UInt64, offset: Double = 10, unit: String? = nil,
        version: Int = 1
    ) throws -> Predictions {
        var random = SplitMix64(seed: seed)
        let at = Self.start + Double(window) * Self.windowSeconds + offset
        let items = try (0..<count).map { index in
            let tenure = isShifted ? Double(random.nextIndex(below: 6)) : Double(random.nextIndex(below: 72))
            let contract =
                isShifted ? "Weekly" : ["Month-to-month", "One year", "Two year"][random.nextIndex(below: 3)]
            let charge = (random.nextUnit() * 10_000).rounded() / 100 + (isShifted ? 200 : 0)
            let isNull = random.nextUnit() < 0.1
            let features: [String: FeatureValue] = [
                "tenure": isNull ? .null : .number(tenure), "contract": .text(contract), "charge": .number(charge),
            ]
            let row = model.signature.inputs.map { input -> CellValue in
                switch features[input.name] {
                case .number(let number): .number(number)
                case .text(let text): .text(text)
                default: .null
                }
            }
            return Predictions.Item(
                predictionID: "p-\(seed)-\(window)-\(index)", unit: unit ?? "u-\(seed)-\(index)", version: version,
                arm: .champion, features: features, score: Double(try model.score(row)), at: at)
        }
        return Predictions(model: "churn", items: items)
    }

    @discardableResult
    func watch(_ predictions: Predictions, id: String, time: Date? = nil) async throws -> Handled {
        try await handle(
            predictions, by: WatchPredictions(), id: EventID(rawValue: id), time: time ?? Date(), in: database)
    }

    /// Lets windows be due, and closes them.
    func close() async throws {
        try await fixture.passTime()
        try await runJobs(of: closer, in: database)
    }

    func alerts() async throws -> [DriftAlert] { try await said(DriftAlert.self, in: database) }

    func window(_ number: Int) async throws -> Row {
        let start = Self.start + Double(number) * Self.windowSeconds
        return try #require(
            try await database.first(
                """
                select state, rows, late_rows, statistics, (statistics ->> 'samples')::int as samples,
                    (statistics ->> 'is_data_drifted')::boolean as is_drifted, counts
                from naura.monitor_window where model = 'churn' and start_at = \(start)
                """))
    }
}

@Suite("The monitor", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct MonitorTests {
    @Test("an answer is kept once, and its window's closing is filed once, for its end and the lateness")
    func keepsOnce() async throws {
        try await Watched.with { watched in
            let answers = try watched.answers(20, window: 0, seed: 1)
            let first = try await watched.watch(answers, id: "event-1")
            #expect(first.jobs.count == 1)
            // 10 s into a window of 60 s, with 5 s for late rows.
            #expect(first.jobs.map(\.delaySeconds) == [55])
            #expect(try await watched.watch(answers, id: "event-1").isNew == false)
            // The same answers in another event are the same answers.
            try await watched.watch(answers, id: "event-2")
            let row = try #require(try await watched.database.first("select count(*) as n from naura.prediction"))
            #expect(try row.get("n") == 20)
            let jobs = try await watched.database.query(
                "select kind from ledger.job where kind = 'close-window' limit 9")
            #expect(jobs.count == 1)
        }
    }

    @Test("traffic like the training fires nothing; other traffic fires once though it goes on, and resolves once")
    func firesAndResolves() async throws {
        try await Watched.with { watched in
            let shifted = [false, true, true, false, false, false]
            var counts: [Int] = []
            for (window, isShifted) in shifted.enumerated() {
                try await watched.watch(
                    try watched.answers(300, window: window, isShifted: isShifted, seed: UInt64(window + 1)),
                    id: "event-\(window)")
                try await watched.close()
                counts.append(try await watched.alerts().count)
            }
            #expect(counts == [0, 1, 1, 1, 2, 2])
            let alerts = try await watched.alerts()
            #expect(alerts.map(\.state) == [.firing, .resolved])
            #expect(alerts.map(\.kind) == [.data, .data])
            #expect(Set(alerts[0].columns.map(\.name)) == ["tenure", "contract", "charge"])
            #expect(alerts[0].window.from == Watched.start + 60)
            #expect(alerts[0].reason?.hasPrefix("3 of 3 columns") == true)
            let stored = try await watched.database.query("select state, event_id from naura.alert limit 9")
            #expect(try stored.map { try $0.get("state", as: String.self) } == ["resolved"])
        }
    }

    @Test("a unit counts once a window, however often it asks")
    func samplesUnits() async throws {
        try await Watched.with { watched in
            try await watched.watch(try watched.answers(200, window: 0, seed: 1), id: "event-1")
            // One customer, unlike the others, asks 500 times.
            try await watched.watch(
                try watched.answers(500, window: 0, isShifted: true, seed: 2, unit: "busy"), id: "event-2")
            try await watched.close()
            let window = try await watched.window(0)
            #expect(try window.get("rows") == 700)
            #expect(try window.get("samples") == 201)
            #expect(try window.get("is_drifted", as: Bool?.self) == false)
            let counts: [String: [Int]] = try window.json("counts")
            #expect(counts.values.allSatisfy { $0.reduce(0, +) == 201 })
            #expect(Set(counts.keys) == ["tenure", "contract", "charge", "score"])
        }
    }

    @Test("rows that come after their window has closed are kept and counted as late, and change no verdict")
    func countsLateRows() async throws {
        try await Watched.with { watched in
            try await watched.watch(try watched.answers(100, window: 0, seed: 1), id: "event-1")
            try await watched.close()
            let before = try await watched.window(0).get("statistics", as: String.self)
            let late = try await watched.watch(
                try watched.answers(30, window: 0, isShifted: true, seed: 2), id: "event-2")
            #expect(late.jobs.isEmpty)
            try await watched.close()
            let after = try await watched.window(0)
            #expect(try after.get("rows") == 100)
            #expect(try after.get("late_rows") == 30)
            #expect(try after.get("statistics", as: String.self) == before)
            #expect(try await watched.alerts().isEmpty)
        }
    }

    @Test("newer traffic closes a window without waiting for the clock")
    func closesByEventTime() async throws {
        try await Watched.with { watched in
            try await watched.watch(try watched.answers(60, window: 0, seed: 1), id: "event-1")
            #expect(try await runJobs(of: watched.closer, in: watched.database) == 0)
            try await watched.watch(try watched.answers(60, window: 2, seed: 2), id: "event-2")
            #expect(try await runJobs(of: watched.closer, in: watched.database) == 1)
            #expect(try await watched.window(0).get("state", as: String.self) == "closed")
            #expect(try await watched.window(2).get("state", as: String.self) == "open")
        }
    }

    @Test("a clock an hour ahead closes no window: times count up to five minutes after their event's")
    func capsClocks() async throws {
        try await Watched.with { watched in
            let time = Watched.start + 15
            try await watched.watch(try watched.answers(60, window: 0, seed: 1), id: "event-1", time: time)
            try await watched.watch(try watched.answers(1, window: 60, seed: 2), id: "event-2", time: time)
            let row = try #require(try await watched.database.first("select max(at) as at from naura.prediction"))
            #expect(try row.get("at", as: Date.self) == time + 300)
        }
    }

    @Test("a closing that died after fixing the rows ends as an undisturbed one, and once")
    func survivesDeath() async throws {
        try await Watched.with { watched in
            try await watched.watch(try watched.answers(300, window: 0, isShifted: true, seed: 1), id: "event-1")
            try await watched.database.update("update naura.monitor_window set state = 'closed', closed_at = now()")
            try await watched.close()
            try await watched.database.update("update ledger.job set state = 'waiting', due_at = now()")
            try await watched.close()
            #expect(try await watched.alerts().count == 1)
            #expect(try await watched.window(0).get("samples") == 300)
        }
    }

    @Test("a window too small to judge neither fires nor breaks a row, and a version without a package is not judged")
    func cannotJudge() async throws {
        try await Watched.with { watched in
            try await watched.watch(try watched.answers(20, window: 0, isShifted: true, seed: 1), id: "event-1")
            try await watched.watch(
                try watched.answers(80, window: 1, isShifted: true, seed: 2, version: 9), id: "event-2")
            try await watched.close()
            #expect(try await watched.alerts().isEmpty)
            #expect(try await watched.window(0).get("is_drifted", as: Bool?.self) == nil)
            let statistics: WindowStatistics = try await watched.window(1).json("statistics")
            #expect(statistics.fault?.contains("no version 9") == true)
        }
    }

    @Test("an outcome is kept once, by prediction or by unit and moment")
    func keepsOutcomes() async throws {
        try await TestDatabase.with { database in
            let truth = GroundTruth(
                model: "churn",
                items: [
                    .init(predictionID: "p-1", label: "Yes", observedAt: Watched.start),
                    .init(unit: "u-1", at: Watched.start, label: "No", observedAt: Watched.start),
                ])
            for _ in 0..<2 { try await handle(truth, by: KeepOutcomes(), id: "event-1", in: database) }
            let rows = try await database.query("select label from naura.ground_truth order by item limit 9")
            #expect(try rows.map { try $0.get("label", as: String.self) } == ["Yes", "No"])
        }
    }
}
