import Foundation

/// Moments as JSON spells them: RFC 3339 in UTC with microseconds, `2026-11-24T05:50:49.123456Z`.
///
/// Any offset is accepted and any number of fraction digits (rounded to microseconds). A leap second counts as the
/// second after it. Foundation's own ISO 8601 formats keep milliseconds at most and are slower.
public enum CodableTimes {
    /// Decodes Naura's JSON; safe to share between threads.
    public static let decoder: JSONDecoder = {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            guard let date = date(from: text) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 time")
            }
            return date
        }
        return decoder
    }()

    /// Encodes Naura's JSON with sorted keys, so that equal values give equal bytes; safe to share between threads.
    public static let encoder: JSONEncoder = {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(string(from: date))
        }
        return encoder
    }()

    /// `date` in UTC, six digits of a second.
    public static func string(from date: Date) -> String {
        let microseconds = Int64((date.timeIntervalSinceReferenceDate * 1_000_000).rounded()) + referenceMicroseconds
        var (seconds, fraction) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        if fraction < 0 { (seconds, fraction) = (seconds - 1, fraction + 1_000_000) }
        var (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
        if second < 0 { (days, second) = (days - 1, second + 86_400) }
        let (year, month, day) = civil(fromDays: days)
        var text: [UInt8] = []
        text.reserveCapacity(27)
        text.append(digits: year, width: 4)
        text.append(UInt8(ascii: "-"))
        text.append(digits: month, width: 2)
        text.append(UInt8(ascii: "-"))
        text.append(digits: day, width: 2)
        text.append(UInt8(ascii: "T"))
        text.append(digits: second / 3_600, width: 2)
        text.append(UInt8(ascii: ":"))
        text.append(digits: second / 60 % 60, width: 2)
        text.append(UInt8(ascii: ":"))
        text.append(digits: second % 60, width: 2)
        text.append(UInt8(ascii: "."))
        text.append(digits: fraction, width: 6)
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }

    /// Microseconds from 1970 to 2001, where `Date` counts from: counted so, every microsecond until 2137 is exact.
    static let referenceMicroseconds: Int64 = 978_307_200_000_000

    /// The moment that `text` spells, or nil when it is not an RFC 3339 time with an offset.
    public static func date(from text: String) -> Date? {
        var text = text
        return text.withUTF8 { bytes in
            var scanner = TimeScanner(bytes: bytes)
            return scanner.moment()
        }
    }

    /// Days since 1970-01-01 as a date of the proleptic Gregorian calendar. Source: Hinnant, *chrono-Compatible
    /// Low-Level Date Algorithms*.
    static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    /// The inverse of ``civil(fromDays:)``.
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}

extension [UInt8] {
    /// Appends `value`, with zeros on the left up to `width`.
    fileprivate mutating func append(digits value: Int64, width: Int) {
        var divisor: Int64 = 1
        for _ in 1..<width { divisor *= 10 }
        var rest = value
        for _ in 0..<width {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / divisor % 10))
            rest %= divisor
            divisor /= 10
            if divisor == 0 { break }
        }
    }
}

/// Reads an RFC 3339 time from its bytes.
private struct TimeScanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func number(digits: Int) -> Int64? {
        guard position + digits <= bytes.count else { return nil }
        var value: Int64 = 0
        for index in position..<position + digits {
            guard let digit = digit(at: index) else { return nil }
            value = value * 10 + digit
        }
        position += digits
        return value
    }

    func digit(at index: Int) -> Int64? {
        guard index < bytes.count, bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") else {
            return nil
        }
        return Int64(bytes[index] - UInt8(ascii: "0"))
    }

    mutating func skip(_ accepted: Unicode.Scalar...) -> Bool {
        guard position < bytes.count, accepted.contains(where: { UInt8(ascii: $0) == bytes[position] }) else {
            return false
        }
        position += 1
        return true
    }

    mutating func moment() -> Date? {
        guard let year = number(digits: 4), skip("-"), let month = number(digits: 2), skip("-"),
            let day = number(digits: 2), skip("T", "t", " "), let hour = number(digits: 2), skip(":"),
            let minute = number(digits: 2), skip(":"), let second = number(digits: 2),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = CodableTimes.days(year: year, month: month, day: day)
        guard CodableTimes.civil(fromDays: days) == (year, month, day) else { return nil }
        guard let microseconds = fraction(), let offset = offset(), position == bytes.count else { return nil }
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset
        let sinceReference = seconds * 1_000_000 + microseconds - CodableTimes.referenceMicroseconds
        return Date(timeIntervalSinceReferenceDate: Double(sinceReference) / 1_000_000)
    }

    /// Microseconds after the point, rounded; 0 without a point, nil for a point without digits.
    mutating func fraction() -> Int64? {
        guard skip(".", ",") else { return 0 }
        var value: Int64 = 0
        var count = 0
        while let digit = digit(at: position) {
            if count < 6 { value = value * 10 + digit }
            if count == 6, digit >= 5 { value += 1 }
            count += 1
            position += 1
        }
        guard count > 0 else { return nil }
        for _ in min(count, 6)..<6 { value *= 10 }
        return value
    }

    /// Seconds east of UTC.
    mutating func offset() -> Int64? {
        if skip("Z", "z") { return 0 }
        let sign: Int64
        if skip("+") { sign = 1 } else if skip("-") { sign = -1 } else { return nil }
        guard let hours = number(digits: 2), skip(":"), let minutes = number(digits: 2), hours < 24, minutes < 60
        else { return nil }
        return sign * (hours * 3_600 + minutes * 60)
    }
}
