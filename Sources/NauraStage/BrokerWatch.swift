// Notices that the broker is another one or came back empty, makes the topics again, and has the outbox refill it.

import Foundation
import Logging
import NauraEvents
import NauraFailpoints
import NauraKafka
import NauraLedger
import NauraPostgres
import ServiceLifecycle

/// Asks the broker each second who it is.
struct BrokerWatch: Service {
    let admin: KafkaAdmin
    let database: Database
    let partitions: Int
    let logger: Logger
    let wakeups: Wakeups
    /// Called after a refill has begun, so that the partition loops take their streams again.
    let onRewind: @Sendable () async -> Void

    func run() async throws {
        let wake = wakeups.subscribe(to: [])
        var isAway = false
        var known: String?
        while !Task.isCancelled && !Task.isShuttingDownGracefully {
            do {
                let cluster = try await admin.metadata()
                if isAway { logger.notice("the broker is back") }
                isAway = false
                let clusterID = cluster.clusterID
                if known != clusterID {
                    try await BrokerWatch.makeTopics(admin, partitions: partitions, existing: cluster)
                    let isRewound = try await BrokerRecord.observe(clusterID, in: database)
                    if isRewound { logger.notice("the broker came back empty; it is refilled from the outbox") }
                    Failpoint.brokerObserved.reach()
                    // Another worker may have been first to rewind: the loops take their streams again all the same.
                    if isRewound || known != nil { await onRewind() }
                    known = clusterID
                }
                try await BrokerRecord.touch(in: database)
            } catch is CancellationError {
                return
            } catch {
                guard case .transient = Failure(error) else { throw error }
                if !isAway { logger.warning("the broker or the database is away", metadata: ["error": "\(error)"]) }
                isAway = true
            }
            await wake.waitWhileRunning()
        }
    }

    /// Makes the topics of all event types that `existing` lacks.
    static func makeTopics(_ admin: KafkaAdmin, partitions: Int, existing: ClusterDescription) async throws {
        let missing = EventCatalogue.types.map(\.rawValue).filter { existing.topics[$0] == nil }
        guard !missing.isEmpty else { return }
        Failpoint.topicsMaking.reach()
        try await admin.createTopics(missing, partitions: partitions)
        Failpoint.topicsMade.reach()
    }
}
