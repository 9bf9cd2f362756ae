import Foundation
import Testing
import NauraRules

@testable import NauraEvents

@Suite("Times")
struct TimeTests {
    @Test(
        "RFC 3339 times are read with any offset and fraction",
        arguments: [
            ("2026-11-24T05:50:49Z", "2026-11-24T05:50:49.000000Z"),
            ("2026-11-24t05:50:49.5z", "2026-11-24T05:50:49.500000Z"),
            ("2026-11-24 05:50:49.1234567+00:00", "2026-11-24T05:50:49.123457Z"),
            ("2026-11-24T05:50:49.9999999-03:30", "2026-11-24T09:20:50.000000Z"),
            ("2024-02-29T23:59:60Z", "2024-03-01T00:00:00.000000Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
        ])
    func reads(text: String, expected: String) throws {
        #expect(CodableTimes.string(from: try #require(CodableTimes.date(from: text))) == expected)
    }

    @Test(
        "what is no RFC 3339 time is refused",
        arguments: [
            "", "2026", "2026-11-24", "2026-11-24T05:50Z", "2026-11-24T05:50:49", "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T05:50:49.Z", "2026-11-24T05:50:49+1:00",
            "2026-11-24T05:50:49Z ", "２０２６-11-24T05:50:49Z",
        ])
    func refuses(text: String) {
        #expect(CodableTimes.date(from: text) == nil)
    }

    @Test("every microsecond until 2137 survives, and every day from year 1 to 9999 has its own name")
    func roundTrips() throws {
        var random = SplitMix64(seed: 3)
        for _ in 0..<20_000 {
            let microseconds = Int64(random.next() % 8_000_000_000_000_000) - 4_000_000_000_000_000
            let date = Date(timeIntervalSinceReferenceDate: Double(microseconds) / 1_000_000)
            let text = CodableTimes.string(from: date)
            let read = try #require(CodableTimes.date(from: text))
            #expect(read == date, "\(text)")
        }
        for day in stride(from: Int64(-719_162), through: 2_932_896, by: 1) {
            let (year, month, dayOfMonth) = CodableTimes.civil(fromDays: day)
            guard CodableTimes.days(year: year, month: month, day: dayOfMonth) == day else {
                Issue.record("\(day) days: \(year)-\(month)-\(dayOfMonth)")
                return
            }
        }
    }
}
