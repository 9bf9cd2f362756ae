import Foundation

/// When the pending triggers of one model become one training.
public enum TriggerFolding {
    /// A stream of triggers closer than the quiet period would postpone a training for ever; after this many quiet
    /// periods since the first pending trigger it starts anyway.
    public static let quietPeriodsMax = 10.0

    /// When a training is due, and what it waits for.
    public struct Due: Sendable, Equatable {
        /// The moment from which it may start; it may lie in the past.
        public let at: Date
        /// What sets the moment: `quiet-period`, `cooldown` or `weekly-budget`.
        public let reason: String

        public init(at: Date, reason: String) {
            self.at = at
            self.reason = reason
        }
    }

    /// When all pending triggers, taken together, become a training.
    ///
    /// - Parameters:
    ///   - firstTrigger: when the oldest pending trigger came.
    ///   - lastTrigger: when the newest one came; the quiet period runs from here.
    ///   - trainingStarts: when trainings of the model started, in any order; those of the last 7 days suffice, and the
    ///     newest one, from which the cooldown runs.
    public static func due(
        firstTrigger: Date, lastTrigger: Date, trainingStarts: [Date], policy: RetrainPolicy
    ) -> Due {
        let quiet = min(
            lastTrigger.addingTimeInterval(policy.quietPeriodSeconds),
            firstTrigger.addingTimeInterval(policy.quietPeriodSeconds * quietPeriodsMax))
        var due = Due(at: quiet, reason: "quiet-period")
        if let cooled = trainingStarts.max()?.addingTimeInterval(policy.cooldownSeconds), cooled > due.at {
            due = Due(at: cooled, reason: "cooldown")
        }
        if let budget = policy.atMostPerWeek, budget > 0, trainingStarts.count >= budget {
            // The budget's oldest start in use leaves the week 7 days after it; from then on one more is free.
            let starts = trainingStarts.sorted(by: >)
            let free = starts[budget - 1].addingTimeInterval(7 * 86_400)
            if free > due.at { due = Due(at: free, reason: "weekly-budget") }
        }
        return due
    }
}
