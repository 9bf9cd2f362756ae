// Names for the moments at which a process can die between two durable steps, so that a test can have it die just there.
//
// `NAURA_FAILPOINT="job-claimed=kill@3"` ends the process with SIGKILL the third time it reaches that moment; `=stop`
// freezes it with SIGSTOP. Several are separated by commas. Nothing else arms one, and unarmed each costs one load.
// docs/reliability.md has the list, and Tests/ArchitectureTests sees that no durable step is without one.

import Foundation
import Synchronization

/// A moment between two durable steps. Its sentence says what is on record when a process dies there.
public enum Failpoint: String, CaseIterable, Sendable {
    // A stage's batch.
    case batchOpened = "batch-opened"
    case batchClaimed = "batch-claimed"
    case batchHandled = "batch-handled"
    case batchWritten = "batch-written"
    case batchCommitted = "batch-committed"
    case deadLetterFiled = "dead-letter-filed"
    case suspectCounted = "suspect-counted"
    case inboxDayMade = "inbox-day-made"
    case offsetCommitting = "offset-committing"
    case offsetCommitted = "offset-committed"
    // A partition's outgoing stream.
    case streamTaking = "stream-taking"
    case streamTaken = "stream-taken"
    case streamTailSent = "stream-tail-sent"
    case outboxSending = "outbox-sending"
    case outboxAcknowledged = "outbox-acknowledged"
    case cursorStoring = "cursor-storing"
    case cursorStored = "cursor-stored"
    case streamReleasing = "stream-releasing"
    case streamReleased = "stream-released"
    // The streams that belong to no partition.
    case sharedLeasing = "shared-leasing"
    case sharedLeased = "shared-leased"
    case sharedSending = "shared-sending"
    case sharedAcknowledged = "shared-acknowledged"
    case sharedMarked = "shared-marked"
    case sharedReleasing = "shared-releasing"
    case sharedReleased = "shared-released"
    // A job and its lease.
    case jobClaiming = "job-claiming"
    case jobClaimed = "job-claimed"
    case jobRenewing = "job-renewing"
    case jobRenewed = "job-renewed"
    case jobStepFenced = "job-step-fenced"
    case jobStepWritten = "job-step-written"
    case jobStepCommitted = "job-step-committed"
    case jobSettleFenced = "job-settle-fenced"
    case jobSettleWritten = "job-settle-written"
    case jobSettled = "job-settled"
    case jobPostponing = "job-postponing"
    case jobPostponed = "job-postponed"
    case jobFailing = "job-failing"
    case jobFailed = "job-failed"
    case jobCancelling = "job-cancelling"
    case jobCancelled = "job-cancelled"
    case jobHandingBack = "job-handing-back"
    // Ways in, and the tables themselves.
    case published = "published"
    case filingWritten = "filing-written"
    case filed = "filed"
    case transactionCommitting = "transaction-committing"
    case transactionCommitted = "transaction-committed"
    case migrationStepRun = "migration-step-run"
    case migrated = "migrated"
    case topicsMaking = "topics-making"
    case topicsMade = "topics-made"
    case brokerObserved = "broker-observed"
    case prunedInbox = "pruned-inbox"
    case prunedOutbox = "pruned-outbox"
    // Files.
    case fileWriting = "file-writing"
    case fileWritten = "file-written"
    case fileFetched = "file-fetched"
    case artifactRenamed = "artifact-renamed"
    case artifactSettled = "artifact-settled"
    case fileReplacing = "file-replacing"
    case fileReplaced = "file-replaced"
    // The world outside.
    case notificationSent = "notification-sent"

    /// Dies or freezes here when the environment says so; else does nothing.
    public func reach() {
        guard let armed = ArmedFailpoints.fromEnvironment else { return }
        armed.reach(self)
    }
}

/// What `NAURA_FAILPOINT` asks for.
struct ArmedFailpoints: Sendable {
    enum Action: String, Sendable { case kill, stop }

    /// A failpoint that cannot be read: a test that meant to kill and does not would prove nothing.
    struct Fault: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// Read once. Nil unless something is armed; a text that cannot be read ends the process with exit code 2.
    static let fromEnvironment: ArmedFailpoints? = {
        guard let text = ProcessInfo.processInfo.environment["NAURA_FAILPOINT"], !text.isEmpty else { return nil }
        do {
            return ArmedFailpoints(try parse(text))
        } catch {
            tell("NAURA_FAILPOINT: \(error)\n")
            exit(2)
        }
    }()

    private let actions: [Failpoint: (action: Action, number: Int)]
    private let counts: Counts

    init(_ actions: [Failpoint: (action: Action, number: Int)]) {
        self.actions = actions
        counts = Counts()
    }

    /// Reads `name=kill@3,name=stop`: the action, and at which time of reaching it; 1 where none is said.
    static func parse(_ text: String) throws -> [Failpoint: (action: Action, number: Int)] {
        var actions: [Failpoint: (action: Action, number: Int)] = [:]
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", maxSplits: 1)
            guard sides.count == 2, let failpoint = Failpoint(rawValue: String(sides[0])) else {
                throw Fault(description: "'\(part)' names no failpoint; docs/reliability.md lists them")
            }
            let order = sides[1].split(separator: "@", maxSplits: 1)
            let number = order.count == 2 ? Int(order[1]) : 1
            guard let action = order.first.flatMap({ Action(rawValue: String($0)) }), let number, number > 0 else {
                throw Fault(description: "'\(part)': expected kill or stop, and a number above 0 after @")
            }
            actions[failpoint] = (action, number)
        }
        return actions
    }

    func reach(_ failpoint: Failpoint) {
        guard let (action, number) = actions[failpoint], counts.next(failpoint) == number else { return }
        Self.tell("failpoint \(failpoint.rawValue) is reached for the \(number). time: \(action.rawValue)\n")
        switch action {
        case .stop: kill(getpid(), SIGSTOP)
        case .kill:
            kill(getpid(), SIGKILL)
            // The signal may come a moment later; nothing must happen in that moment.
            while true { sleep(1) }
        }
    }

    private static func tell(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

    /// How often each failpoint was reached.
    private final class Counts: Sendable {
        private let counts = Mutex<[Failpoint: Int]>([:])

        func next(_ failpoint: Failpoint) -> Int {
            counts.withLock { counts in
                counts[failpoint, default: 0] += 1
                return counts[failpoint] ?? 0
            }
        }
    }
}
