import Foundation
import NauraRules
import Testing

@Suite("Calendars")
struct CalendarTests {
    private func date(_ text: String) throws -> Date {
        try Date(text, strategy: .iso8601)
    }

    @Test(
        "the next slot is the one a person expects",
        arguments: [
            ("0 3 * * 1", "UTC", "2026-11-24T05:50:00Z", "2026-11-30T03:00:00Z"),
            ("*/15 * * * *", "UTC", "2026-11-24T05:45:00Z", "2026-11-24T06:00:00Z"),
            ("*/15 * * * *", "UTC", "2026-11-24T05:44:59Z", "2026-11-24T05:45:00Z"),
            ("5/20 10-12 * jan-mar mon,wed", "UTC", "2026-03-30T12:45:00Z", "2027-01-04T10:05:00Z"),
            ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
            ("0 0 13 * fri", "UTC", "2026-11-24T00:00:00Z", "2026-11-27T00:00:00Z"),
            ("0 0 * * 7", "UTC", "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"),
            ("0 3 * * 1", "Europe/Berlin", "2026-11-24T05:50:00Z", "2026-11-30T02:00:00Z"),
            ("59 23 31 12 *", "Asia/Kathmandu", "2026-12-31T18:14:00Z", "2027-12-31T18:14:00Z"),
            // Berlin, 2026-03-29: 02:00 to 03:00 is skipped; the slot comes at 03:00, which is 01:00 UTC.
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            // Berlin, 2026-10-25: 02:30 comes at 00:30 UTC and again at 01:30 UTC; the first counts.
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
            ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T02:00:00Z"),
            ("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", "2026-03-08T07:00:00Z"),
            ("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", "2026-11-01T05:30:00Z"),
            // Samoa had no 30 December 2011.
            ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-30T10:00:00Z"),
            // Lord Howe moves by half an hour.
            ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"),
        ])
    func next(cron: String, zone: String, after: String, expected: String) throws {
        let schedule = try CronSchedule(cron, timeZone: zone)
        #expect(schedule.next(after: try date(after)) == (try date(expected)))
    }

    @Test(
        "in a whole year each slot occurs exactly once, over both changes of the clock",
        arguments: ["Europe/Berlin", "America/New_York"])
    func year(zone: String) throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: zone))
        // Every quarter of an hour, on a wall that skips one hour and shows another twice.
        let schedule = try CronSchedule("*/15 * * * *", timeZone: zone)
        let end = try date("2027-01-01T12:00:00Z")
        var moment = try date("2026-01-01T12:00:00Z")
        var seen: [DateComponents: Int] = [:]
        var count = 0
        while let slot = schedule.next(after: moment), slot <= end {
            #expect(slot > moment)
            seen[calendar.dateComponents([.month, .day, .hour, .minute], from: slot), default: 0] += 1
            moment = slot
            count += 1
        }
        // The skipped hour's four slots fall together with the one after the gap; the doubled hour's come once.
        #expect(count == 365 * 96 - 4)
        #expect(seen.values.allSatisfy { $0 == 1 })
        for (cron, expected) in [("30 2 * * *", 365), ("30 1 * * *", 365), ("0 3 * * 1", 52), ("0 0 1 * *", 12)] {
            let daily = try CronSchedule(cron, timeZone: zone)
            var moment = try date("2026-01-01T12:00:00Z")
            var days: Set<String> = []
            var slots = 0
            while let slot = daily.next(after: moment), slot <= end {
                let parts = calendar.dateComponents([.month, .day], from: slot)
                days.insert("\(parts.month ?? 0)-\(parts.day ?? 0)")
                moment = slot
                slots += 1
            }
            #expect(slots == expected, "\(cron) in \(zone)")
            #expect(days.count == slots, "\(cron) in \(zone)")
        }
    }

    @Test(
        "a line that is no calendar is refused, and the field is named",
        arguments: [
            ("* * * *", "5 fields"), ("60 * * * *", "minute"), ("* 24 * * *", "hour"), ("* * 0 * *", "day of month"),
            ("* * * 13 *", "month"), ("* * * * 8", "day of week"), ("*/0 * * * *", "step"), ("5-1 * * * *", "rises"),
            ("1,,2 * * * *", "minute"), ("1-2-3 * * * *", "two ends"), ("* * * foo *", "jan feb"),
            ("0 0 30 2 *", "never comes"), ("-1 * * * *", "minute"),
        ])
    func refuses(cron: String, words: String) {
        let fault = #expect(throws: RulesError.self) { try CronSchedule(cron, timeZone: "UTC") }
        #expect(fault?.message.contains(words) == true, "\(String(describing: fault))")
    }

    @Test("an unknown zone is refused")
    func zone() {
        #expect(throws: RulesError.self) { try CronSchedule("* * * * *", timeZone: "Mars/Olympus") }
    }
}

@Suite("Triggers fold")
struct TriggerFoldingTests {
    private let origin = Date(timeIntervalSince1970: 1_000_000)
    private func at(_ seconds: Double) -> Date { origin.addingTimeInterval(seconds) }

    @Test("a training waits for the quiet period after the last trigger, but not for ever")
    func quiet() {
        let policy = RetrainPolicy(quietPeriodSeconds: 30, cooldownSeconds: 0)
        let due = { (last: Double) in
            TriggerFolding.due(firstTrigger: at(0), lastTrigger: at(last), trainingStarts: [], policy: policy)
        }
        #expect(due(0) == .init(at: at(30), reason: "quiet-period"))
        #expect(due(100).at == at(130))
        #expect(due(10_000).at == at(300))
    }

    @Test("a training waits for the cooldown and for the weekly budget")
    func limits() {
        let policy = RetrainPolicy(quietPeriodSeconds: 30, cooldownSeconds: 3_600, atMostPerWeek: 2)
        let due = { (starts: [Double]) in
            TriggerFolding.due(firstTrigger: at(0), lastTrigger: at(0), trainingStarts: starts.map(at), policy: policy)
        }
        #expect(due([-100]) == .init(at: at(3_500), reason: "cooldown"))
        #expect(due([-100_000, -200_000]) == .init(at: at(7 * 86_400 - 200_000), reason: "weekly-budget"))
        #expect(due([-100_000, -8 * 86_400]).reason == "quiet-period")
        #expect(due([-100_000]).reason == "quiet-period")
    }
}

@Suite("The door")
struct DoorTests {
    @Test("without a token only loopback addresses are listened on")
    func listen() {
        for host in ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"] {
            #expect(ListenPolicy.check(host: host, hasToken: false) == nil)
        }
        for host in ["0.0.0.0", "::", "", "10.0.0.1", "127.0.0.1.example.org", "1270.0.0.1", "example.org", "127.0.0"] {
            #expect(ListenPolicy.check(host: host, hasToken: false)?.contains("NAURA_TOKEN") == true, "\(host)")
            #expect(ListenPolicy.check(host: host, hasToken: true) == nil)
        }
    }

    @Test("a token opens only to itself, and is never printed")
    func token() throws {
        let token = try #require(AccessToken("s3cret"))
        #expect(token.matches("s3cret"))
        for wrong in ["", "s3cre", "s3cret1", "S3cret"] { #expect(!token.matches(wrong)) }
        #expect(token.admits(authorization: "Bearer s3cret"))
        #expect(!token.admits(authorization: nil))
        #expect(!token.admits(authorization: "Basic s3cret"))
        #expect(!"\(token)".contains("s3cret"))
        #expect(AccessToken("") == nil)
    }
}
