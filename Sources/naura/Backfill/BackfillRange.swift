import ArgumentParser
import Foundation

/// One date of a backfill, and where its file lies.
struct BackfillDate: Sendable, Equatable {
    /// `2013-01` for a month, `2013-01-07` for a day or the first day of a week.
    let name: String
    /// The time that it spans, UTC, from inclusive to exclusive.
    let from: Date
    let to: Date
    let uri: String
}

/// The dates of a backfill, oldest first.
enum BackfillRange {
    enum Step: String, ExpressibleByArgument, CaseIterable, Sendable { case day, week, month }

    /// Most dates of one backfill: 27 years of days.
    static let datesMax = 10_000

    private static let calendar: Calendar = {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        return calendar
    }()

    /// The dates from `first` to `last`, both included, each with the address that `template` gives it.
    ///
    /// In the template `{…}` stands for the date: `yyyy`, `MM` and `dd`, and what is no letter as it is.
    /// - Throws: `ValidationError` naming the flag at fault, also where two dates would have one address.
    static func dates(from first: String, to last: String, every step: Step, uri template: String) throws
        -> [BackfillDate]
    {
        let (start, end) = (try day(first, step, flag: "--from"), try day(last, step, flag: "--to"))
        guard start <= end else { throw ValidationError("--to \(last) lies before --from \(first)") }
        guard template.contains("{") else {
            throw ValidationError(
                "--uri \(template) names one file for all dates; say where the date stands, such as 'data/{yyyy-MM}.csv'"
            )
        }
        var dates: [BackfillDate] = []
        var moment = start
        while moment <= end {
            guard dates.count < datesMax else {
                throw ValidationError("--from \(first) --to \(last): more than \(datesMax) dates; take a part of them")
            }
            let next = after(moment, step)
            let uri = Outgoing.uri(try fill(template, moment))
            if let before = dates.last, before.uri == uri {
                throw ValidationError("--uri \(template): \(before.name) and \(name(moment, step)) have the same file")
            }
            dates.append(BackfillDate(name: name(moment, step), from: moment, to: next, uri: uri))
            moment = next
        }
        let twice = Dictionary(grouping: dates, by: \.uri).values.first { $0.count > 1 }
        if let twice {
            throw ValidationError("--uri \(template): \(twice[0].name) and \(twice[1].name) have the same file")
        }
        return dates
    }

    /// `template` with the date in place of each `{…}`.
    private static func fill(_ template: String, _ moment: Date) throws -> String {
        var text = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{") {
            guard let close = rest[open...].firstIndex(of: "}") else {
                throw ValidationError("--uri \(template): a { has no }")
            }
            var pattern = String(rest[rest.index(after: open)..<close])
            for (letters, value) in parts(of: moment) { pattern = pattern.replacing(letters, with: value) }
            guard !pattern.contains(where: \.isLetter), pattern.contains(where: \.isNumber) else {
                throw ValidationError("--uri \(template): expected yyyy, MM or dd between { and }, as in {yyyy-MM}")
            }
            text.append(contentsOf: rest[..<open])
            text += pattern
            rest = rest[rest.index(after: close)...]
        }
        return text + rest
    }

    private static func parts(of moment: Date) -> [(String, String)] {
        let date = calendar.dateComponents([.year, .month, .day], from: moment)
        return [
            ("yyyy", String(format: "%04d", date.year ?? 0)), ("MM", String(format: "%02d", date.month ?? 0)),
            ("dd", String(format: "%02d", date.day ?? 0)),
        ]
    }

    private static func name(_ moment: Date, _ step: Step) -> String {
        let parts = parts(of: moment).map(\.1)
        return parts.prefix(step == .month ? 2 : 3).joined(separator: "-")
    }

    private static func after(_ moment: Date, _ step: Step) -> Date {
        let (unit, count): (Calendar.Component, Int) = step == .month ? (.month, 1) : (.day, step == .week ? 7 : 1)
        guard let next = calendar.date(byAdding: unit, value: count, to: moment) else {
            preconditionFailure("\(moment) has no next \(step)")
        }
        return next
    }

    /// The first moment of a month (`2013-01`) or day (`2013-01-07`), as `step` asks for.
    private static func day(_ text: String, _ step: Step, flag: String) throws -> Date {
        let fields = text.split(separator: "-", omittingEmptySubsequences: false)
        let lengths = step == .month ? [4, 2] : [4, 2, 2]
        let numbers = fields.compactMap { $0.allSatisfy { ("0"..."9").contains($0) } ? Int($0) : nil }
        var date = DateComponents(calendar: calendar)
        if fields.map(\.count) == lengths, numbers.count == lengths.count {
            (date.year, date.month, date.day) = (numbers[0], numbers[1], step == .month ? 1 : numbers[2])
        }
        guard date.year != nil, date.isValidDate, let moment = calendar.date(from: date) else {
            let example = step == .month ? "a month such as 2013-01" : "a day such as 2013-01-07"
            throw ValidationError("\(flag) \(text): expected \(example), for --every \(step.rawValue)")
        }
        return moment
    }
}
