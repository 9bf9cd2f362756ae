import Foundation

/// Latencies counted in buckets that grow by 4 %, from 10 µs to two minutes: any quantile is right to 4 %.
struct LatencyHistogram: Sendable {
    private static let first = 1e-5
    private static let growth = log(1.04)
    private static let bucketCount = 420

    private var counts = [Int](repeating: 0, count: bucketCount)
    private(set) var total = 0

    mutating func record(seconds: Double) {
        let place = log(max(seconds, LatencyHistogram.first) / LatencyHistogram.first) / LatencyHistogram.growth
        counts[min(Int(place), LatencyHistogram.bucketCount - 1)] += 1
        total += 1
    }

    /// The latency in seconds that a share `q` (0…1) of the answers did not exceed; nil when nothing was counted.
    func quantile(_ q: Double) -> Double? {
        guard total > 0 else { return nil }
        let rank = max(1, Int((q * Double(total)).rounded(.up)))
        var seen = 0
        for (index, count) in counts.enumerated() {
            seen += count
            if seen >= rank { return LatencyHistogram.first * exp(Double(index + 1) * LatencyHistogram.growth) }
        }
        return nil
    }
}
