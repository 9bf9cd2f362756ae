import Foundation
import NauraStore
import Testing

@testable import naura

@Suite("The command line's parts")
struct PartsTests {
    @Test("cells line up under their headings, numbers to the right, nothing trails")
    func table() {
        var table = TextTable([("MODEL", .left), ("VERSION", .right), ("STATE", .left)])
        table.add(["churn", "12", "champion"])
        table.add(["a-long-name", "3", ""])
        #expect(
            table.lines.dropFirst() == [
                "churn             12  champion",
                "a-long-name        3  -",
            ])
    }

    @Test("a process that keeps dying is left alone twice as long each time, ten seconds at most")
    func backsOff() {
        var backOff = BackOff()
        let waits = (0..<9).map { _ in backOff.recordDeath(after: .seconds(1)).seconds }
        #expect(waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10])
        #expect(backOff.recordDeath(after: .seconds(31)).seconds == 0.2, "a healthy life begins anew")
    }

    @Test(
        "spans of time are read with their unit, or in seconds",
        arguments: [("250ms", 0.25), ("90s", 90), ("10m", 600), ("2h", 7_200), ("1d", 86_400), ("15", 15)])
    func spans(_ text: String, _ seconds: Double) throws {
        #expect(try Span.parse(text, flag: "--timeout").seconds == seconds)
    }

    @Test("a span that is none is refused", arguments: ["", "soon", "-3s", "0s", "s", "1e400s"])
    func badSpans(_ text: String) {
        #expect(throws: (any Error).self) { try Span.parse(text, flag: "--timeout") }
    }

    @Test("a quantile of latencies is right to four percent")
    func quantiles() {
        var histogram = LatencyHistogram()
        #expect(histogram.quantile(0.5) == nil)
        for milliseconds in 1...1_000 { histogram.record(seconds: Double(milliseconds) / 1_000) }
        for (share, expected) in [(0.5, 0.5), (0.99, 0.99), (1, 1)] {
            let found = histogram.quantile(share) ?? 0
            #expect(abs(found / expected - 1) < 0.041)
        }
    }

    @Test("shifts set or multiply a column, and nothing else is one")
    func shifts() throws {
        #expect(try TrafficShift("contract=Two year").apply("Monthly") == "Two year")
        #expect(try TrafficShift("charges*1.5").apply("10") == "15.0")
        #expect(try TrafficShift("charges*1.5").apply("") == "")
        #expect(throws: CommandError.self) { try TrafficShift("contract") }
    }

    @Test("instances of workers are read by name; an unknown worker or number is refused")
    func scale() throws {
        #expect(try Up.parse(["train=3", "schedule=2"]) == ["train": 3, "schedule": 2])
        for bad in ["train", "trains=2", "train=-1", "train=65"] {
            #expect(throws: (any Error).self) { try Up.parse([bad]) }
        }
    }

    @Test("a path becomes a file address, and an address stays")
    func addresses() {
        #expect(Outgoing.uri("/data/a b.csv") == "file:///data/a%20b.csv")
        #expect(Outgoing.uri("https://example.org/a.csv") == "https://example.org/a.csv")
    }

    @Test("counts are read at a glance")
    func counts() {
        #expect(EventSummary.counted(1, "row") == "1 row")
        #expect(EventSummary.counted(4_930, "row") == "4,930 rows")
        #expect(EventSummary.counted(1_234_567, "row") == "1,234,567 rows")
    }
}

@Suite("Where the state is")
struct StateFolderTests {
    @Test("a command finds the nearest state above it, and a project has a state of its own beside its file")
    func walksUp() throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "naura-state-\(UUID().uuidString)").path
        defer { _ = Result { try FileManager.default.removeItem(atPath: root) } }
        for folder in ["a/.naura", "a/deep/er", "a/project/inside", "b"] {
            try FileManager.default.createDirectory(
                atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
        }
        try Data("project: x\n".utf8).write(to: URL(filePath: "\(root)/a/project/naura.yaml"))
        #expect(StateFolder.find(from: "\(root)/a/deep/er")?.path == "\(root)/a/.naura")
        #expect(StateFolder.home(from: "\(root)/a/deep/er").path == "\(root)/a/.naura")
        #expect(StateFolder.home(from: "\(root)/a/project/inside").path == "\(root)/a/project/.naura")
        #expect(StateFolder.home(from: "\(root)/b").path == "\(root)/b/.naura")
    }

    @Test("addresses come whole from the environment, or whole from the state")
    func environment() throws {
        let settings = try Settings.current(environment: [
            "NAURA_DATABASE_URL": "postgresql://x", "NAURA_SERVE_URL": "http://127.0.0.1:1",
        ])
        #expect(settings.databaseURL == "postgresql://x")
        #expect(settings.serveURL == "http://127.0.0.1:1")
        #expect(settings.brokers == nil)
    }

    @Test("one process at a time holds a folder's lock, and its end gives it back")
    func lock() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "naura-lock-\(UUID().uuidString)").path
        defer { _ = Result { try FileManager.default.removeItem(atPath: path) } }
        let first = try FileLock.take(path)
        let isHeld = try FileLock.take(path) == nil
        #expect(isHeld)
        _ = consume first
        let isFree = try FileLock.take(path) != nil
        #expect(isFree)
    }
}
