/// When one feature row became true and when it became known, in microseconds since 1970-01-01 00:00 UTC.
public struct FeatureMoment: Sendable, Equatable {
    /// When its values became true.
    public var event: Int64
    /// When they became known.
    public var created: Int64

    public init(event: Int64, created: Int64) {
        self.event = event
        self.created = created
    }
}

/// Which of an entity's feature rows was the answer at a moment.
///
/// Among the rows with `event ≤ T`, with a ttl also `event ≥ T − ttl`, and in known-by mode also `created ≤ T` (all edges
/// included), the greatest by (event, created, arrival). The ttl runs on event time alone. All features come from that
/// one row, its nulls too. Arrival is not stored here: rows are handed over sorted by (event, created, arrival), so the
/// position of a row among equal ones is its arrival.
public struct PointInTimeJoin: Sendable {
    /// How long a row stays valid after its event time; nil for ever.
    public let ttl: Int64?
    /// Whether a row counts only from the moment it was known: the mode for training sets.
    public let isKnownBy: Bool

    /// A join with `ttlMicroseconds` (nil or 0 for no limit).
    public init(ttlMicroseconds: Int64?, isKnownBy: Bool = true) {
        ttl = ttlMicroseconds == 0 ? nil : ttlMicroseconds
        self.isKnownBy = isKnownBy
    }

    /// A join with `ttlSeconds` (nil or 0 for no limit), exact to the microsecond.
    public init(ttlSeconds: Double?, isKnownBy: Bool = true) {
        self.init(ttlMicroseconds: ttlSeconds.map { Int64(($0 * 1e6).rounded()) }, isKnownBy: isKnownBy)
    }

    /// The index of the answer at `moment` among `rows`, sorted ascending by (event, created, arrival); nil without one.
    public func answer(at moment: Int64, among rows: [FeatureMoment]) -> Int? {
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].event <= moment { low = middle + 1 } else { high = middle }
        }
        return answer(at: moment, before: low, among: rows)
    }

    /// The answers at each of `moments`, ascending, in one pass over `rows`, sorted as for ``answer(at:among:)``.
    public func answers(at moments: [Int64], among rows: [FeatureMoment]) -> [Int?] {
        var end = 0
        return moments.map { moment in
            while end < rows.count, rows[end].event <= moment { end += 1 }
            return answer(at: moment, before: end, among: rows)
        }
    }

    /// Walks down from the newest row: nearly always the first one is known, since few are known much later than true.
    private func answer(at moment: Int64, before end: Int, among rows: [FeatureMoment]) -> Int? {
        let (difference, hasOverflowed) = moment.subtractingReportingOverflow(ttl ?? 0)
        let oldest = ttl == nil || hasOverflowed ? Int64.min : difference
        var index = end - 1
        while index >= 0, rows[index].event >= oldest {
            if !isKnownBy || rows[index].created <= moment { return index }
            index -= 1
        }
        return nil
    }
}
