import Foundation

/// The two clocks of the hot path, read without an allocation.
enum Clocks {
    /// Nanoseconds of a clock that never steps, for durations within this process.
    @inline(__always)
    static func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Microseconds since 1970-01-01 UTC.
    @inline(__always)
    static func wallMicroseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
    }
}

extension [UInt8] {
    /// Appends `microseconds` since 1970 as `"2026-11-24T05:50:49.123456Z"`, the quotes included.
    ///
    /// The same text as `CodableTimes.string(from:)`, written in place; a test holds both together. Days become a date as
    /// in Hinnant, *chrono-Compatible Low-Level Date Algorithms*, for years from 1970 on.
    mutating func appendTime(microseconds: Int64) {
        let seconds = microseconds / 1_000_000
        let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        append(0x22)
        append(digits: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), width: 1_000)
        append(0x2D)
        append(digits: month, width: 10)
        append(0x2D)
        append(digits: dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, width: 10)
        append(0x54)
        append(digits: second / 3_600, width: 10)
        append(0x3A)
        append(digits: second / 60 % 60, width: 10)
        append(0x3A)
        append(digits: second % 60, width: 10)
        append(0x2E)
        append(digits: microseconds % 1_000_000, width: 100_000)
        append("Z\"")
    }

    /// Appends `value` with leading zeros; `width` is the power of ten of the first digit.
    @inline(__always)
    private mutating func append(digits value: Int64, width: Int64) {
        var place = width
        while place > 0 {
            append(0x30 + UInt8(truncatingIfNeeded: value / place % 10))
            place /= 10
        }
    }
}
