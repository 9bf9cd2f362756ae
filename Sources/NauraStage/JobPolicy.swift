// How long a job may take, how often it is tried, and how long it waits in between.

import NauraLedger

/// The limits of the jobs of one kind.
public struct JobPolicy: Sendable, Equatable {
    /// A try that takes longer is stopped, and counts as failed. More than the kind's longest honest run.
    public var timeout: Duration
    /// Failed tries after which a job fails for good; at least 1.
    public var triesMax: Int
    /// The wait after the first failed try. Each further one doubles it.
    public var backOffFirst: Duration
    /// The longest wait between two tries.
    public var backOffMax: Duration

    public init(
        timeout: Duration = .seconds(3_600), triesMax: Int = 5, backOffFirst: Duration = .seconds(1),
        backOffMax: Duration = .seconds(300)
    ) {
        precondition(triesMax >= 1 && timeout > .zero && backOffFirst > .zero && backOffMax >= backOffFirst)
        self.timeout = timeout
        self.triesMax = triesMax
        self.backOffFirst = backOffFirst
        self.backOffMax = backOffMax
    }

    /// An hour a try, five tries, one second to five minutes between them.
    public static let usual = JobPolicy()

    /// The wait before the next try of `job`, after `failures` failed ones (1 or more): doubled each time, capped, and
    /// then shortened by up to half, so that jobs which failed together do not come back together.
    ///
    /// The jitter follows from the job's id and the number of failures: a repetition waits the same.
    public func backOff(job: Int, failures: Int) -> Duration {
        let doublings = min(max(failures - 1, 0), 40)
        let seconds = min(backOffFirst.seconds * Double(UInt64(1) << UInt64(doublings)), backOffMax.seconds)
        // splitmix64's finaliser over both numbers.
        var mixed = UInt64(truncatingIfNeeded: job) &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(truncatingIfNeeded: failures)
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        mixed ^= mixed >> 31
        let share = Double(mixed >> 11) / Double(UInt64(1) << 53)
        return .seconds(seconds * (0.5 + 0.5 * share))
    }
}

/// Why a job ended without having been done.
public struct JobFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// A short word for programs: the ``Rejection``'s own, `failed`, `timed-out`, `killed-worker` or `cancelled`.
    public let code: String
    /// The reason in one sentence, for people.
    public let message: String

    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code): \(message)" }
}
