/// Counts of durations in buckets whose width grows with the value: within 12.5 % from 1 µs to 60 s.
///
/// A value type of fixed size; counting is an addition.
public struct LatencyHistogram: Sendable {
    /// Eight buckets a power of two, from 2^10 ns.
    static let buckets = 8 * 27

    private var counts: [UInt64]
    /// How many durations were counted.
    public private(set) var count: UInt64 = 0
    /// Their sum.
    public private(set) var totalNanoseconds: UInt64 = 0

    public init() { counts = [UInt64](repeating: 0, count: Self.buckets) }

    /// Counts one duration.
    public mutating func record(nanoseconds: UInt64) {
        counts[Self.bucket(nanoseconds)] += 1
        count += 1
        totalNanoseconds &+= nanoseconds
    }

    /// The upper edge of the bucket below which the share `quantile` (0 … 1) of durations lies; nil when none is there.
    public func quantile(_ quantile: Double) -> UInt64? {
        guard count > 0 else { return nil }
        let rank = UInt64((Double(count) * quantile).rounded(.up))
        var seen: UInt64 = 0
        for bucket in counts.indices {
            seen += counts[bucket]
            if seen >= max(rank, 1) { return Self.upperEdge(bucket) }
        }
        return Self.upperEdge(Self.buckets - 1)
    }

    /// How many durations lie in buckets that end at or below `nanoseconds`.
    public func count(upTo nanoseconds: UInt64) -> UInt64 {
        var seen: UInt64 = 0
        for bucket in counts.indices {
            guard Self.upperEdge(bucket) <= nanoseconds else { break }
            seen += counts[bucket]
        }
        return seen
    }

    /// Adds the counts of `other`.
    public mutating func add(_ other: LatencyHistogram) {
        for bucket in counts.indices { counts[bucket] += other.counts[bucket] }
        count += other.count
        totalNanoseconds &+= other.totalNanoseconds
    }

    static func bucket(_ nanoseconds: UInt64) -> Int {
        guard nanoseconds >= 1 << 10 else { return 0 }
        let power = 63 - nanoseconds.leadingZeroBitCount
        let eighth = Int(nanoseconds >> UInt64(power - 3)) & 7
        return min((power - 10) * 8 + eighth, buckets - 1)
    }

    static func upperEdge(_ bucket: Int) -> UInt64 {
        let power = UInt64(10 + bucket / 8)
        return (1 << power) + UInt64(bucket % 8 + 1) << (power - 3)
    }
}

/// The latencies of the last five to ten thousand answers.
struct RecentLatencies: Sendable {
    static let answersPerHalf: UInt64 = 5_000

    private var current = LatencyHistogram()
    private var previous = LatencyHistogram()

    mutating func record(nanoseconds: UInt64) {
        if current.count >= Self.answersPerHalf {
            previous = current
            current = LatencyHistogram()
        }
        current.record(nanoseconds: nanoseconds)
    }

    var count: UInt64 { current.count + previous.count }

    /// The 99th percentile; nil when no answer was counted.
    var p99Nanoseconds: UInt64? {
        var both = previous
        both.add(current)
        return both.quantile(0.99)
    }
}
