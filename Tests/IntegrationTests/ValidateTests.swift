import Foundation
import NauraData
import NauraEvents
import NauraPostgres
import NauraStore
import NauraTestKit
import Testing

@testable import validate

@Suite(.enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct ValidateTests {
    private static let header = "id,at,charges,months,plan,churn\n"
    private static let good = header + "a,2026-01-01,10,2,x,Yes\nb,2026-01-02 03:04:05,,0,y,No\n"

    private func states(_ sample: DataSample) async throws -> [String] {
        try await sample.column(
            "select number || ' ' || state as value from naura.snapshot order by number limit 100")
    }

    @Test("a file that obeys its contract is stored by content and announced with its profile")
    func accepts() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.good))
            #expect(try await states(sample) == ["1 validated"])
            let said = try await said(DataValidated.self, in: sample.database)
            let event = try #require(said.first)
            #expect(said.count == 1)
            #expect(event.rows == 2)
            #expect(event.number == 1)
            #expect(event.bytes == Int64(Self.good.utf8.count))
            #expect(try sample.artifacts.bytes(event.snapshot) == Array(Self.good.utf8))
            #expect(try sample.artifactFiles().count == 1)
            let window = try await sample.column(
                "select window_from || ' ' || window_to as value from naura.snapshot limit 1")
            #expect(window == ["2026-01-01 00:00:00+00 2026-01-02 03:04:05+00"])
        }
    }

    @Test("a second delivery of the event files nothing, and a repeated job changes nothing")
    func handlesTwice() async throws {
        try await DataSample.with { sample in
            let uri = try sample.file(Self.good)
            let event = NewData(dataset: "customers", uri: uri)
            let first = try await handle(event, by: NumberSnapshot(), id: "e1", in: sample.database)
            let second = try await handle(event, by: NumberSnapshot(), id: "e1", in: sample.database)
            #expect(first.jobs.count == 1)
            #expect(!second.isNew)
            try await runJobs(of: ValidateSnapshot(artifacts: sample.artifacts), in: sample.database)
            _ = try await sample.database.update("update ledger.job set state = 'waiting'")
            try await runJobs(of: ValidateSnapshot(artifacts: sample.artifacts), in: sample.database)
            #expect(try await states(sample) == ["1 validated"])
            #expect(try await said(DataValidated.self, in: sample.database).count == 1)
        }
    }

    @Test("the same bytes published again are nothing to do, also under another name")
    func duplicates() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.good))
            try await sample.publish(try sample.file(Self.good, "again.csv"))
            #expect(try await states(sample) == ["1 validated", "2 duplicate"])
            #expect(try await said(DataValidated.self, in: sample.database).count == 1)
            #expect(try await said(DataRejected.self, in: sample.database).isEmpty)
            #expect(try sample.artifactFiles().count == 1)
        }
    }

    @Test("a refused file may come again once its contract is mended")
    func mended() async throws {
        try await DataSample.with { sample in
            let text = Self.header + "a,2026-01-01,10,2,x,Maybe\n"
            try await sample.publish(try sample.file(text))
            try await sample.apply(
                DataSample.project, contract: DataSample.contract.replacing("\"No\"", with: "\"No\", Maybe"))
            try await sample.publish(try sample.file(text))
            #expect(try await states(sample) == ["1 rejected", "2 validated"])
        }
    }

    @Test(
        "each kind of unusable data is refused with the rule that it breaks",
        arguments: [
            ("", "empty"), (header, "header-only"), ("id,id,at\na,a,2026-01-01\n", "duplicate-column"),
            (header + "a,2026-01-01,10,2,x,Yes\nb,2026", "cut-off"), (header + "a,2026-01-01,\"10", "cut-off"),
            (header + "a,2026-01-01,10,2,x\nb,2026-01-01,10,2,x,No\n", "field-count"),
            (header.replacing("charges,", with: "") + "a,2026-01-01,2,x,Yes\n", "missing-column"),
            (header + "a,2026-01-01,much,2,x,Yes\n", "type"), (header + "a,when,10,2,x,Yes\n", "type"),
            (header + ",2026-01-01,10,2,x,Yes\n", "not-null"), (header + "a,2026-01-01,10,2,x,Maybe\n", "values"),
        ] as [(String, String)])
    func refuses(_ text: String, _ rule: String) async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(text))
            #expect(try await states(sample) == ["1 rejected"])
            let said = try await said(DataRejected.self, in: sample.database)
            #expect(said.count == 1)
            #expect(said.first?.violations.first?.rule == rule)
            #expect(said.first?.reason?.isEmpty == false)
            #expect(try sample.artifactFiles().isEmpty)
            #expect(try await sample.column("select stage as value from ledger.dead_letter limit 10").isEmpty)
        }
    }

    @Test("an address without data, an unknown dataset and other bytes than announced are refused")
    func unusableAddresses() async throws {
        try await DataSample.with { sample in
            try await sample.publish("file:///nowhere/data.csv")
            try await sample.publish("s3://bucket/data.csv")
            try await sample.publish(try sample.file(Self.good), sha256: String(repeating: "0", count: 64))
            try await sample.publish(try sample.file(Self.good), dataset: "strangers")
            let rules = try await said(DataRejected.self, in: sample.database).map { $0.violations.first?.rule }
            #expect(Set(rules) == ["not-found", "unsupported", "checksum", "unknown-dataset"])
            #expect(try await said(DataValidated.self, in: sample.database).isEmpty)
        }
    }

    @Test("a server that fails is asked four times before the data are refused")
    func transient() async throws {
        try await DataSample.with { sample in
            let runner = ValidateSnapshot(artifacts: sample.artifacts)
            let event = NewData(dataset: "customers", uri: "http://127.0.0.1:1/data.csv")
            try await handle(event, by: NumberSnapshot(), in: sample.database)
            for tries in 0..<3 {
                await #expect(throws: DataFault.self) { try await runJobs(of: runner, in: sample.database) }
                _ = try await sample.database.update(
                    "update ledger.job set state = 'waiting', lease_until = null, tries = \(Int32(tries + 1))")
            }
            try await runJobs(of: runner, in: sample.database)
            #expect(
                try await said(DataRejected.self, in: sample.database).first?.violations.first?.rule == "unreadable")
        }
    }

    @Test("snapshots are numbered as they arrive, each a microsecond after the one before at least")
    func arrival() async throws {
        try await DataSample.with { sample in
            let late = Date(timeIntervalSince1970: 1_800_000_000)
            try await sample.publish(try sample.file(Self.good), time: Date())
            let moment = try await sample.database.query("select last_arrival_at as at from naura.dataset limit 1")
            for (index, time) in [late, late.addingTimeInterval(-500)].enumerated() {
                let arrival = SnapshotArrival(
                    dataset: "customers", uri: "file:///x", format: "csv", expectedSHA256: nil, window: nil,
                    eventID: "e\(index)", rootID: "e\(index)", time: time)
                let number = try await sample.database.transaction { try await Snapshots.file(arrival, in: $0) }
                #expect(number == Int64(index + 2))
            }
            #expect(try #require(moment.first).get("at", as: Date.self) < late)
            let arrivals = try await sample.column(
                "select arrived_at::text as value from naura.snapshot where number > 1 order by number limit 9")
            #expect(arrivals == ["2027-01-15 08:00:00+00", "2027-01-15 08:00:00.000001+00"])
        }
    }

    @Test("rows that speak of a time before known rows are counted")
    func backdated() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.good))
            let later = Self.header + "a,2025-12-31,1,1,x,No\nb,2026-01-01,1,1,x,No\nc,2026-02-01,1,1,x,No\n"
            try await sample.publish(try sample.file(later))
            #expect(try await said(DataValidated.self, in: sample.database).map(\.backdatedRows) == [0, 2])
        }
    }
}
