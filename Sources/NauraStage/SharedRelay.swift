// Sends the streams that belong to no partition: what jobs, the command line and HTTP have said.

import Logging
import NauraEvents
import NauraFailpoints
import NauraKafka
import NauraLedger
import NauraPostgres
import ServiceLifecycle

/// Holds the lease of shared streams while it can, and sends their rows in order.
///
/// Each worker runs one; whichever holds the lease sends, and another takes over when it stops renewing.
struct SharedRelay: Service {
    let instance: String
    let database: Database
    let producer: KafkaProducer
    let wakeups: Wakeups
    let logger: Logger
    /// A holder that is silent for so long has lost its streams. Renewed at a third of it.
    let leaseSeconds: Double

    func run() async throws {
        let wake = wakeups.subscribe(to: ["naura_outbox"])
        var held: [HeldStream] = []
        var cursors: [Int: Int] = [:]
        var renewed = ContinuousClock.now - .seconds(60)
        while !Task.isCancelled && !Task.isShuttingDownGracefully {
            do {
                if ContinuousClock.now - renewed > .seconds(leaseSeconds / 3) {
                    renewed = .now
                    Failpoint.sharedLeasing.reach()
                    held = try await Streams.leaseShared(owner: instance, seconds: leaseSeconds, in: database)
                    Failpoint.sharedLeased.reach()
                    cursors = Dictionary(uniqueKeysWithValues: held.map { ($0.id, $0.sent) })
                }
                try await send(held, after: &cursors)
            } catch is CancellationError {
                break
            } catch {
                guard case .transient = Failure(error) else { throw error }
                logger.warning("waiting for the database", metadata: ["error": "\(error)"])
                (held, cursors) = ([], [:])
            }
            await wake.waitWhileRunning()
        }
        Failpoint.sharedReleasing.reach()
        // In a task of its own: where a job has used up the time to end in order, this one is cancelled by now, and whether
        // the statement got through was a matter of luck.
        let releasing = Task { [database, instance] in
            try await Streams.releaseShared(owner: instance, in: database)
        }
        do {
            try await releasing.value
        } catch {
            // The lease runs out by itself; a worker that ends does not wait for the database.
            guard case .transient = Failure(error) else { throw error }
            logger.warning("the shared streams were not released", metadata: ["error": "\(error)"])
        }
        Failpoint.sharedReleased.reach()
    }

    /// Sends what waits. All streams are asked at once: a client's event is in one of them, and waits for every question.
    private func send(_ held: [HeldStream], after cursors: inout [Int: Int]) async throws {
        var places = cursors
        while !places.isEmpty {
            let waiting = try await Outbox.rows(after: places, limit: 500, in: database)
            let streams = held.filter { waiting[$0.id] != nil }
            guard !streams.isEmpty else { return }
            Failpoint.sharedSending.reach()
            try await producer.deliver(streams.flatMap { waiting[$0.id, default: []].map(\.event) }, logger: logger)
            Failpoint.sharedAcknowledged.reach()
            for stream in streams {
                guard let last = waiting[stream.id]?.last?.number else { continue }
                cursors[stream.id] = last
                // Another may hold the stream by now; it sends from its own cursor, and readers count an event once.
                let isMine = try await Streams.mark(stream.id, epoch: stream.epoch, sent: last, in: database)
                places[stream.id] = isMine ? last : nil
            }
            Failpoint.sharedMarked.reach()
        }
    }
}
