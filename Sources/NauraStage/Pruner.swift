// Deletes what is past its retention, so that tables grow with what is true and not with what has happened.

import Foundation
import Logging
import NauraFailpoints
import NauraLedger
import NauraPostgres

/// How long rows are kept whose work is done. The inbox keeps days (``Inbox/retentionDays``), and is not asked.
public struct Retention: Sendable {
    /// Sent rows of the outbox, and events that came from elsewhere: how far back an empty broker is refilled.
    public var outboxSeconds = 604_800.0
    /// Jobs that are done. Failed and cancelled ones stay: a person may want them tried again.
    public var jobsSeconds = 2_592_000.0

    public init() {}
}

/// Deletes old rows of a worker's own tables, at most `limit` in one statement.
/// - Returns: how many there were; fewer than `limit` means that no more are due.
public typealias PruneStep = @Sendable (_ database: Database, _ limit: Int) async throws -> Int

/// Prunes the ledger, and what else a worker has asked for.
struct Pruner: Sendable {
    /// Rows that one statement deletes: some tenths of a second.
    private static let rowsMax = 10_000
    /// How long one call goes on. The registrar reports between calls, and a worker that is silent counts as gone.
    private static let turn: Duration = .seconds(2)

    let database: Database
    let retention: Retention
    let steps: [(name: String, step: PruneStep)]
    let logger: Logger

    /// Deletes what is due, for two seconds at most.
    /// - Returns: whether more is due.
    func prune() async -> Bool {
        let deadline = ContinuousClock.now + Self.turn
        do {
            var counts: [String: Int] = [:]
            var isMoreDue = false
            func all(_ name: String, _ step: PruneStep) async throws {
                while true {
                    let count = try await step(database, Self.rowsMax)
                    counts[name, default: 0] += count
                    guard count >= Self.rowsMax else { return }
                    guard ContinuousClock.now < deadline else { return isMoreDue = true }
                }
            }
            counts["inbox_days"] = try await Inbox.prune(in: database).count
            Failpoint.prunedInbox.reach()
            try await all("outbox_rows") {
                try await Outbox.prune(olderThanSeconds: retention.outboxSeconds, limit: $1, in: $0)
            }
            Failpoint.prunedOutbox.reach()
            try await all("foreign_events") {
                try await ForeignEvents.prune(olderThanSeconds: retention.outboxSeconds, limit: $1, in: $0)
            }
            try await all("jobs") {
                try await Jobs.prune(doneForSeconds: retention.jobsSeconds, limit: $1, in: $0)
            }
            for (name, step) in steps { try await all(name, step) }
            let told = Logger.Metadata(uniqueKeysWithValues: counts.map { ($0.key, "\($0.value)") })
            let level: Logger.Level = counts.values.contains { $0 > 0 } ? .info : .debug
            logger.log(level: level, "pruned what was past its retention", metadata: told)
            return isMoreDue
        } catch {
            logger.warning("old rows could not be deleted; tried again later", metadata: ["error": "\(error)"])
            return false
        }
    }
}
