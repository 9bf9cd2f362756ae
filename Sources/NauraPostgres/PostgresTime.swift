import Foundation

/// Times as PostgreSQL counts them: microseconds since 2000-01-01 00:00 UTC.
enum PostgresTime {
    /// Seconds from PostgreSQL's epoch to Foundation's reference date, 2001-01-01.
    private static let epochOffset: Int64 = 366 * 86_400
    /// PostgreSQL's `infinity` and `-infinity`.
    static let infinity = Int64.max
    static let minusInfinity = Int64.min

    /// The microseconds nearest to `date`; `distantFuture` and `distantPast` are the infinities.
    ///
    /// A `Date` resolves 0.12 µs in this century, so a microsecond goes there and back unchanged until the year 2286.
    static func microseconds(of date: Date) -> Int64? {
        if date == .distantFuture { return infinity }
        if date == .distantPast { return minusInfinity }
        let micros = (date.timeIntervalSinceReferenceDate * 1e6).rounded()
        guard micros.isFinite, abs(micros) < 9e18 else { return nil }
        return Int64(micros) + epochOffset * 1_000_000
    }

    /// The moment of `microseconds`.
    static func date(microseconds: Int64) -> Date {
        switch microseconds {
        case infinity: return .distantFuture
        case minusInfinity: return .distantPast
        default:
            return Date(timeIntervalSinceReferenceDate: Double(microseconds - epochOffset * 1_000_000) / 1e6)
        }
    }

    /// RFC 3339 in UTC with six digits of fraction.
    static func text(microseconds: Int64) -> String {
        if microseconds == infinity { return "infinity" }
        if microseconds == minusInfinity { return "-infinity" }
        let (days, rest) = floorDivide(microseconds, 86_400_000_000)
        let (year, month, day) = civil(days: days + 10_957)
        let seconds = rest / 1_000_000
        return pad(year, 4) + "-" + pad(month, 2) + "-" + pad(day, 2) + "T" + pad(seconds / 3600, 2) + ":"
            + pad(seconds / 60 % 60, 2) + ":" + pad(seconds % 60, 2) + "." + pad(rest % 1_000_000, 6) + "Z"
    }

    private static func pad(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func floorDivide(_ value: Int64, _ by: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: by)
        return remainder < 0 ? (quotient - 1, remainder + by) : (quotient, remainder)
    }

    /// The date `days` after 1970-01-01. Source: Howard Hinnant, *chrono-compatible low-level date algorithms*.
    private static func civil(days: Int64) -> (Int64, Int64, Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthShifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthShifted + 2) / 5 + 1
        let month = monthShifted < 10 ? monthShifted + 3 : monthShifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
