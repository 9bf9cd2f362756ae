import Foundation

/// Moments in the text of data files.
public enum Timestamp {
    /// Microseconds since 1970-01-01 00:00 UTC; nil when `bytes` are no moment.
    ///
    /// ISO 8601: `yyyy-MM-dd`, then optionally `T` or a blank, `HH:mm`, `:ss`, a fraction of the second, and a zone
    /// (`Z`, `UTC`, `+hh`, `+hhmm`, `+hh:mm`). Without a zone it is UTC; a date alone is its first moment. More than six
    /// digits of a second are cut.
    public static func microseconds(_ bytes: UnsafeBufferPointer<UInt8>) -> Int64? {
        var scan = Scan(bytes: bytes)
        guard let year = scan.number(4), scan.take("-"), let month = scan.number(2), scan.take("-"),
            let day = scan.number(2), isDate(year, month, day)
        else { return nil }
        var total = days(year, month, day) * 86_400_000_000
        if scan.isAtEnd { return total }
        guard scan.take("T") || scan.take(" ") || scan.take("t") else { return nil }
        guard let hour = scan.number(2), hour < 24, scan.take(":"), let minute = scan.number(2), minute < 60 else {
            return nil
        }
        total += (hour * 3_600 + minute * 60) * 1_000_000
        if scan.take(":") {
            // A leap second is the first moment of the next minute.
            guard let second = scan.number(2), second <= 60 else { return nil }
            total += second * 1_000_000
            if scan.take(".") || scan.take(",") {
                guard let fraction = scan.fraction() else { return nil }
                total += fraction
            }
        }
        guard let offset = scan.zone(), scan.isAtEnd else { return nil }
        return total - offset
    }

    /// The moment that an epoch number means: seconds, or milli- or microseconds when it is too large for seconds.
    ///
    /// Numbers below 1e8 (March 1973) are more likely dates such as 20130101 or counters, and mean nothing here.
    public static func microseconds(epoch number: Double) -> Int64? {
        switch number {
        case 1e8..<1e11: Int64((number * 1_000_000).rounded())
        case 1e11..<1e14: Int64((number * 1_000).rounded())
        case 1e14..<1e17: Int64(number.rounded())
        default: nil
        }
    }

    /// The moment as text: RFC 3339, UTC, with a fraction only where there is one.
    public static func text(_ microseconds: Int64) -> String {
        let day = Int64((Double(microseconds) / 86_400_000_000).rounded(.down))
        let rest = microseconds - day * 86_400_000_000
        let (year, month, date) = civil(day)
        let second = rest / 1_000_000
        let time = [second / 3_600, second / 60 % 60, second % 60].map { padded($0, 2) }.joined(separator: ":")
        let fraction = rest % 1_000_000
        let tail = fraction == 0 ? "" : "." + padded(fraction, 6)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(date, 2))T\(time)\(tail)Z"
    }

    /// The moment as a date.
    public static func date(_ microseconds: Int64) -> Date {
        Date(timeIntervalSince1970: Double(microseconds) / 1_000_000)
    }

    /// The microseconds of a date, to the nearest.
    public static func microseconds(_ date: Date) -> Int64 { Int64((date.timeIntervalSince1970 * 1_000_000).rounded()) }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    private static func isDate(_ year: Int64, _ month: Int64, _ day: Int64) -> Bool {
        guard month >= 1, month <= 12, day >= 1 else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let length: Int64 = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
        return day <= length
    }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant, *chrono-compatible low-level date algorithms*).
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private struct Scan {
        let bytes: UnsafeBufferPointer<UInt8>
        var position = 0

        init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

        var isAtEnd: Bool { position == bytes.count }

        mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            guard position < bytes.count, bytes[position] == UInt8(ascii: scalar) else { return false }
            position += 1
            return true
        }

        mutating func number(_ width: Int) -> Int64? {
            guard position + width <= bytes.count else { return nil }
            var value: Int64 = 0
            for index in position..<position + width {
                let digit = bytes[index] &- UInt8(ascii: "0")
                guard digit < 10 else { return nil }
                value = value * 10 + Int64(digit)
            }
            position += width
            return value
        }

        /// Microseconds of the digits after the point.
        mutating func fraction() -> Int64? {
            var value: Int64 = 0
            var digits = 0
            while position < bytes.count, bytes[position] &- UInt8(ascii: "0") < 10 {
                if digits < 6 { value = value * 10 + Int64(bytes[position] - UInt8(ascii: "0")) }
                digits += 1
                position += 1
            }
            guard digits > 0 else { return nil }
            for _ in 0..<max(0, 6 - digits) { value *= 10 }
            return value
        }

        /// Microseconds east of UTC.
        mutating func zone() -> Int64? {
            if isAtEnd || take("Z") || take("z") { return 0 }
            _ = take(" ")
            if take("U") { return take("T") && take("C") ? 0 : nil }
            let isWest = take("-")
            guard isWest || take("+"), let hours = number(2), hours <= 18 else { return nil }
            _ = take(":")
            var minutes: Int64 = 0
            if !isAtEnd {
                guard let read = number(2), read < 60 else { return nil }
                minutes = read
            }
            return (hours * 60 + minutes) * 60_000_000 * (isWest ? -1 : 1)
        }
    }
}
