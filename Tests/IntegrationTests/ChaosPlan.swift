// Which process dies where: for each failpoint of the runtime, who can reach it and by what.

import Foundation
import NauraFailpoints
import NauraRules
import NauraTestKit

/// One death: a process is started with its failpoint armed, and load is put on it until it dies.
struct ChaosRound: Sendable, CustomStringConvertible {
    enum Role: String { case probe, sink, publish }
    /// What brings the process there.
    enum Trigger: Equatable {
        case load
        /// `SIGTERM` once it is at work.
        case stop
        /// The death of a predecessor, with something left open.
        case afterDeath(Failpoint)
        /// A broker that has just come back empty.
        case emptyBroker
    }

    let failpoint: Failpoint
    let role: Role
    let trigger: Trigger
    /// At which time of reaching the failpoint it dies.
    let number: Int

    var description: String { "\(role.rawValue) at \(failpoint.rawValue)@\(number)" }
}

/// The runtime's failpoints; those of files, calendars and notifications are reached in the composed system.
enum ChaosPlan {
    private static let both: [ChaosRound.Role] = [.probe, .sink]

    /// Who reaches `failpoint`, by what, and at most how often in a short life; nil where the probe cannot.
    private static func reach(_ failpoint: Failpoint) -> ([ChaosRound.Role], ChaosRound.Trigger, most: Int)? {
        switch failpoint {
        case .batchOpened, .batchClaimed, .batchHandled, .batchWritten, .batchCommitted: (both, .load, 4)
        case .offsetCommitting, .offsetCommitted, .streamTaking, .streamTaken: (both, .load, 4)
        case .suspectCounted: (both, .afterDeath(.batchOpened), 3)
        case .inboxDayMade, .brokerObserved: (both, .load, 1)
        case .transactionCommitting, .transactionCommitted: (both, .load, 6)
        case .published: ([.publish], .load, 6)
        case .deadLetterFiled, .cursorStoring, .cursorStored, .jobFailing, .jobFailed: ([.probe], .load, 2)
        case .outboxSending, .outboxAcknowledged: ([.probe], .load, 4)
        case .sharedLeasing, .sharedLeased, .sharedSending, .sharedAcknowledged, .sharedMarked: ([.probe], .load, 2)
        case .jobClaiming, .jobClaimed, .jobStepFenced, .jobStepWritten, .jobStepCommitted: ([.probe], .load, 3)
        case .jobSettleFenced, .jobSettleWritten, .jobSettled: ([.probe], .load, 3)
        case .jobCancelling, .jobCancelled: ([.probe], .load, 2)
        case .jobPostponing, .jobPostponed, .jobRenewing, .jobRenewed: ([.probe], .load, 1)
        case .prunedInbox, .prunedOutbox: (both, .load, 2)
        case .streamReleasing, .streamReleased: (both, .stop, 3)
        case .sharedReleasing, .sharedReleased: (both, .stop, 1)
        case .streamTailSent: ([.probe], .afterDeath(.outboxSending), 1)
        case .topicsMaking, .topicsMade: (both, .emptyBroker, 1)
        // Reached only after fifteen seconds of waiting for a job that does not end: a test of its own.
        case .jobHandingBack: nil
        case .migrationStepRun, .migrated: nil
        case .filingWritten, .filed, .fileWriting, .fileWritten, .fileFetched, .artifactRenamed, .artifactSettled,
            .fileReplacing, .fileReplaced, .notificationSent:
            nil
        }
    }

    /// `seeds` rounds for each failpoint and each process that reaches it, in an order that `random` chooses.
    static func rounds(seeds: Int, random: inout SplitMix64) -> [ChaosRound] {
        var rounds: [ChaosRound] = []
        for failpoint in Failpoint.allCases {
            guard let (roles, trigger, most) = reach(failpoint) else { continue }
            for role in roles {
                for seed in 0..<seeds {
                    // The first of a pair is hit at once and early; the later ones anywhere.
                    let number = seed == 0 ? min(2, most) : Int.random(in: 1...most, using: &random)
                    rounds.append(ChaosRound(failpoint: failpoint, role: role, trigger: trigger, number: number))
                }
            }
        }
        return rounds.shuffled(using: &random)
    }
}
