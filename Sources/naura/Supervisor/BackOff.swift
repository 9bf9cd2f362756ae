/// How long a process that keeps dying is left alone: 200 ms, doubled at each death, 10 s at most.
///
/// One that lived for half a minute starts from the beginning again.
struct BackOff: Sendable {
    static let first: Duration = .milliseconds(200)
    static let longest: Duration = .seconds(10)
    static let healthyLife: Duration = .seconds(30)

    /// Deaths in a row, each after a short life.
    private(set) var deaths = 0

    /// Counts a death after a life of `life`. Returns how long to wait before the next start.
    mutating func recordDeath(after life: Duration) -> Duration {
        deaths = life >= BackOff.healthyLife ? 1 : deaths + 1
        // 2^6 × 200 ms is past the longest already; a greater shift would only overflow.
        return min(BackOff.first * (1 << min(deaths - 1, 6)), BackOff.longest)
    }
}
