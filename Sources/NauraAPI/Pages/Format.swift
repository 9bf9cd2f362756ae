import Foundation
import NauraEvents

/// How the page spells numbers and moments.
enum Format {
    /// A coordinate: one decimal, without a needless zero.
    static func coordinate(_ value: Double) -> String {
        let tenths = (value * 10).rounded()
        guard tenths.isFinite, abs(tenths) < 1e9 else { return "0" }
        let whole = Int(tenths)
        return whole % 10 == 0 ? String(whole / 10) : String(Double(whole) / 10)
    }

    /// `decimals` digits after the point; a true minus sign.
    static func decimal(_ value: Double, _ decimals: Int) -> String {
        guard value.isFinite else { return "–" }
        let text = String(format: "%.\(decimals)f", abs(value))
        let isZero = text.allSatisfy { $0 == "0" || $0 == "." }
        return value < 0 && !isZero ? "−\(text)" : text
    }

    /// A metric's value: whole numbers as counts, others with four decimals.
    static func metric(_ value: Double) -> String {
        value == value.rounded() && abs(value) >= 2 && abs(value) < 1e15 ? count(Int(value)) : decimal(value, 4)
    }

    /// With a sign always, for differences.
    static func signed(_ value: Double, _ decimals: Int) -> String {
        let text = decimal(value, decimals)
        return text.hasPrefix("−") || text == "–" ? text : "+\(text)"
    }

    /// Thousands apart by a narrow blank.
    static func count(_ value: Int) -> String {
        let digits = String(abs(value))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "\u{202F}" }
            text.append(digit)
        }
        return value < 0 ? "−\(text)" : text
    }

    /// A share of 1 in percent, one decimal below ten.
    static func percent(_ share: Double) -> String {
        let value = share * 100
        let isWhole = abs(value - value.rounded()) < 0.05
        return isWhole ? "\(Int(value.rounded())) %" : "\(decimal(value, abs(value) < 1 ? 2 : 1)) %"
    }

    /// The first eight characters of a hash or id.
    static func short(_ id: String) -> String { id.count > 10 ? String(id.prefix(8)) : id }

    /// A duration in the largest sensible unit.
    static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<0.95: "\(Int((max(0, seconds) * 1_000).rounded())) ms"
        case ..<59.5: "\(decimal(seconds, seconds < 10 ? 1 : 0)) s"
        case ..<3_570: "\(Int((seconds / 60).rounded())) min"
        default: "\(decimal(seconds / 3_600, 1)) h"
        }
    }
}

/// A moment in a template: the clock for readers without script, the moment itself for those with.
struct Moment {
    /// `05:50:49`, UTC.
    let clock: String
    /// RFC 3339.
    let iso: String
    /// Milliseconds since 1970, which the page's script turns into an age.
    let at: Int

    init(_ date: Date) {
        iso = CodableTimes.string(from: date)
        clock = String(iso.dropFirst(11).prefix(8))
        at = Int((date.timeIntervalSince1970 * 1_000).rounded())
    }
}
