import Foundation

/// A calendar: five cron fields read in a time zone.
///
/// Minute (0–59), hour (0–23), day of month (1–31), month (1–12 or jan–dec), day of week (0–7, sun–sat; 0 and 7 are
/// Sunday). A field is `*`, a number, a range `a-b`, either with a step `/n`, or a list of these; `a/n` runs from a to the
/// field's end. When both days are restricted, either suffices, as in every cron.
///
/// A slot is a wall-clock minute, and occurs exactly once: one that a change of the clock skips occurs at the first
/// moment after the gap (several skipped ones together, as one), one that occurs twice counts the first time.
public struct CronSchedule: Sendable, Equatable {
    /// The five fields as they were written.
    public let source: String
    private let minutes: Set<Int>
    private let hours: Set<Int>
    private let daysOfMonth: Set<Int>
    private let months: Set<Int>
    private let daysOfWeek: Set<Int>
    private let isEitherDay: Bool
    private let clock: WallClock

    /// Reads `source` in the IANA zone `timeZone`.
    /// - Throws: ``RulesError`` (`cron`) naming the field, what was found and what is allowed; also for a calendar that
    ///   never comes, such as the 30th of February.
    public init(_ source: String, timeZone: String) throws(RulesError) {
        guard let zone = TimeZone(identifier: timeZone) else {
            throw RulesError(.cron, "unknown time zone \(timeZone); an IANA name such as Europe/Berlin is expected")
        }
        let fields = source.split(whereSeparator: \.isWhitespace).map(String.init)
        guard fields.count == 5 else {
            throw RulesError(
                .cron, "expected 5 fields (minute hour day month weekday), found \(fields.count) in \"\(source)\"")
        }
        self.source = source
        clock = WallClock(zone: zone)
        minutes = try CronField.minute.parse(fields[0])
        hours = try CronField.hour.parse(fields[1])
        daysOfMonth = try CronField.dayOfMonth.parse(fields[2])
        months = try CronField.month.parse(fields[3])
        daysOfWeek = Set(try CronField.dayOfWeek.parse(fields[4]).map { $0 % 7 })
        isEitherDay = !fields[2].hasPrefix("*") && !fields[4].hasPrefix("*")
        if nextLocal(from: 0) == nil { throw RulesError(.cron, "\"\(source)\" never comes") }
    }

    /// The first slot later than `moment`. Nil only where the calendar's dates end.
    public func next(after moment: Date) -> Date? {
        let after = Int(moment.timeIntervalSince1970.rounded(.down))
        var local = (after + clock.offset(at: after)).flooredToMinute + 60
        // Only in the second pass of a doubled hour do candidates lie in the past; it has a few hundred minutes at most.
        while let candidate = nextLocal(from: local) {
            let instant = clock.instant(ofLocal: candidate)
            if instant > after { return Date(timeIntervalSince1970: Double(instant)) }
            local = candidate + 60
        }
        return nil
    }

    /// The first matching wall-clock minute at or after `start`; both in seconds, as if the wall clock showed UTC.
    private func nextLocal(from start: Int) -> Int? {
        let hourList = hours.sorted()
        let minuteList = minutes.sorted()
        let firstDay = start.floorDivided(by: 86_400)
        // 29 February on a weekday returns after at most 40 years (across a year such as 2100).
        for day in firstDay..<(firstDay + 41 * 366) where matches(day: day) {
            for hour in hourList {
                for minute in minuteList {
                    let candidate = day * 86_400 + hour * 3_600 + minute * 60
                    if candidate >= start { return candidate }
                }
            }
        }
        return nil
    }

    private func matches(day: Int) -> Bool {
        let date = CivilDate(daysSinceEpoch: day)
        guard months.contains(date.month) else { return false }
        let inMonth = daysOfMonth.contains(date.day)
        // 1970-01-01 was a Thursday.
        let inWeek = daysOfWeek.contains((((day + 4) % 7) + 7) % 7)
        return isEitherDay ? inMonth || inWeek : inMonth && inWeek
    }
}

/// The wall clock of a zone. Moments are whole seconds since the epoch; a local time is what the wall shows, as if in UTC.
struct WallClock: Sendable, Equatable {
    let zone: TimeZone

    func offset(at instant: Int) -> Int {
        zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant)))
    }

    /// The first moment at which the wall shows `local`; when it never does, the first moment after the gap.
    func instant(ofLocal local: Int) -> Int {
        // A day to each side lies surely before and after a change close to `local`.
        let before = offset(at: local - 86_400)
        let after = offset(at: local + 86_400)
        let candidates = [local - before, local - after].filter { $0 + offset(at: $0) == local }
        if let first = candidates.min() { return first }
        // In a gap the change lies in (local − after, local − before]: find its first second.
        var low = local - max(before, after)
        var high = local - min(before, after)
        while high - low > 1 {
            let middle = (low + high) / 2
            if offset(at: middle) == before { low = middle } else { high = middle }
        }
        return high
    }
}

/// A day of the proleptic Gregorian calendar.
struct CivilDate {
    let month: Int
    let day: Int

    /// Source: Hinnant, *chrono-compatible low-level date algorithms*, 2013.
    init(daysSinceEpoch days: Int) {
        let shifted = days + 719_468
        let era = shifted.floorDivided(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    }
}

extension Int {
    fileprivate func floorDivided(by divisor: Int) -> Int {
        self >= 0 ? self / divisor : -((-self + divisor - 1) / divisor)
    }

    fileprivate var flooredToMinute: Int { floorDivided(by: 60) * 60 }
}

/// One of the five fields: its name, its range, and its words.
private struct CronField {
    let name: String
    let range: ClosedRange<Int>
    let words: [String: Int]

    static let minute = CronField(name: "minute", range: 0...59, words: [:])
    static let hour = CronField(name: "hour", range: 0...23, words: [:])
    static let dayOfMonth = CronField(name: "day of month", range: 1...31, words: [:])
    static let month = CronField(
        name: "month", range: 1...12,
        words: [
            "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10,
            "nov": 11, "dec": 12,
        ])
    static let dayOfWeek = CronField(
        name: "day of week", range: 0...7,
        words: ["sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6])

    func parse(_ text: String) throws(RulesError) -> Set<Int> {
        var values: Set<Int> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            values.formUnion(try parsePart(String(part)))
        }
        return values
    }

    private func parsePart(_ part: String) throws(RulesError) -> Set<Int> {
        let pieces = part.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (1...2).contains(pieces.count) else { throw fault(part, "more than one /") }
        var step = 1
        if pieces.count == 2 {
            guard let found = Int(pieces[1]), found > 0 else { throw fault(part, "a step is a number above 0") }
            step = found
        }
        if pieces[0] == "*" { return Set(stride(from: range.lowerBound, through: range.upperBound, by: step)) }
        let ends = pieces[0].split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard (1...2).contains(ends.count) else { throw fault(part, "a range has two ends") }
        let low = try number(ends[0], in: part)
        // As in every cron, "5/15" runs from 5 to the end of the field.
        var high = pieces.count == 2 ? range.upperBound : low
        if ends.count == 2 { high = try number(ends[1], in: part) }
        guard low <= high else { throw fault(part, "a range rises") }
        return Set(stride(from: low, through: high, by: step))
    }

    private func number(_ text: String, in part: String) throws(RulesError) -> Int {
        if let word = words[text.lowercased()] { return word }
        guard let number = Int(text), text.allSatisfy(\.isNumber), range.contains(number) else {
            let names = words.sorted { $0.value < $1.value }.map(\.key).joined(separator: " ")
            let allowed = names.isEmpty ? "" : " or \(names)"
            throw fault(part, "expected \(range.lowerBound)–\(range.upperBound)\(allowed), found \"\(text)\"")
        }
        return number
    }

    private func fault(_ part: String, _ what: String) -> RulesError {
        RulesError(.cron, "\(name) \"\(part)\": \(what)")
    }
}
