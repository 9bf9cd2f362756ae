import Foundation
import NauraEvents
import Synchronization

/// What a gateway sees of one model at one step of a rollout: units, and each unit's first bad answer.
///
/// One a route epoch, so that a window never mixes two weights. Memory is bounded: beyond ``unitsMax`` units of a step
/// no further ones are reported, by when any step has its verdict.
final class CanaryObserver: Sendable {
    /// Units remembered a step, both arms together: 16 MB.
    static let unitsMax = 1 << 20

    /// What was seen since the last window.
    struct Tally: Sendable {
        var requests = 0
        var fresh: [UInt64] = []
        var firstBad: [ServingWindow.FirstBad] = []

        var isEmpty: Bool { requests == 0 && fresh.isEmpty && firstBad.isEmpty }
    }

    private struct State {
        var champion = Tally()
        var canary = Tally()
        var seen: Set<UInt64> = []
        var withError: Set<UInt64> = []
        var withSlow: Set<UInt64> = []
    }

    let epoch: Int64
    let weight: Double
    let rollout: Int64?
    let canaryVersion: Int?
    /// An answer later than this is slow, in either arm.
    let slow: SlowThreshold
    private let state = Mutex(State())

    init(epoch: Int64, weight: Double, rollout: Int64?, canaryVersion: Int?, slow: SlowThreshold) {
        self.epoch = epoch
        self.weight = weight
        self.rollout = rollout
        self.canaryVersion = canaryVersion
        self.slow = slow
    }

    /// Counts one answer of `arm` for the unit at `place`.
    ///
    /// - Returns: whether the canary gave this unit its first bad answer, which is to be told at once.
    func record(_ arm: Arm, _ place: Split.Place, nanoseconds: UInt64, isError: Bool) -> Bool {
        let isSlow = slow.isSlow(nanoseconds, arm: arm)
        return state.withLock { state in
            let isFresh = state.seen.count < Self.unitsMax && state.seen.insert(place.value).inserted
            var bad: [ServingWindow.FirstBad] = []
            if isError, state.withError.count < Self.unitsMax, state.withError.insert(place.value).inserted {
                bad.append(.init(metric: .error, unit: place.hex, at: Date()))
            }
            if isSlow, state.withSlow.count < Self.unitsMax, state.withSlow.insert(place.value).inserted {
                bad.append(.init(metric: .slow, unit: place.hex, at: Date()))
            }
            func count(_ tally: inout Tally) {
                tally.requests += 1
                if isFresh { tally.fresh.append(place.value) }
                tally.firstBad.append(contentsOf: bad)
            }
            switch arm {
            case .champion: count(&state.champion)
            case .canary: count(&state.canary)
            }
            return arm == .canary && !bad.isEmpty
        }
    }

    /// Takes out what was seen since the last call.
    func drain() -> (champion: Tally, canary: Tally) {
        state.withLock { state in
            defer { (state.champion, state.canary) = (Tally(), Tally()) }
            return (state.champion, state.canary)
        }
    }
}

/// From when on an answer is slow; the same for both arms of a rollout, and fixed while it runs.
///
/// The rollout's rules name it. Where they do not, it is 1.25 times the champion's 99th percentile over its last
/// answers, taken when the canary starts, or once the champion has given ``answersMin`` answers; until then nothing
/// counts as slow. Never below ``floorNanoseconds``: a difference that no user can notice is no harm.
final class SlowThreshold: Sendable {
    static let answersMin: UInt64 = 500
    static let floorNanoseconds: UInt64 = 5_000_000

    private let frozen: Atomic<UInt64>
    private let recent: Mutex<RecentLatencies>

    /// - Parameter seconds: the rules' own threshold.
    init(seconds: Double?, champion: RecentLatencies = RecentLatencies()) {
        recent = Mutex(champion)
        if let seconds, seconds > 0, seconds < 3_600 {
            frozen = Atomic(UInt64(seconds * 1e9))
        } else {
            frozen = Atomic(Self.bound(champion) ?? 0)
        }
    }

    /// The threshold, or nil while it is not known.
    var nanoseconds: UInt64? {
        let value = frozen.load(ordering: .relaxed)
        return value == 0 ? nil : value
    }

    func isSlow(_ nanoseconds: UInt64, arm: Arm) -> Bool {
        if let bound = self.nanoseconds { return nanoseconds > bound }
        if arm == .champion {
            recent.withLock { recent in
                recent.record(nanoseconds: nanoseconds)
                guard let bound = Self.bound(recent) else { return }
                _ = frozen.compareExchange(expected: 0, desired: bound, ordering: .relaxed)
            }
        }
        return false
    }

    private static func bound(_ recent: RecentLatencies) -> UInt64? {
        guard recent.count >= answersMin, let p99 = recent.p99Nanoseconds else { return nil }
        return max(p99 + p99 / 4, floorNanoseconds)
    }
}
