// Follows the consumer's assignments: one loop a partition, ended and waited for before the partition is given away.

import Logging
import NauraEvents
import NauraKafka
import ServiceLifecycle
import Synchronization

/// Runs the partition loops of a worker.
final class PartitionService: Service {
    private struct Running {
        let loop: PartitionLoop
        let task: Task<Void, Never>
    }

    private let stages: [String: any StageHandling]
    private let context: LoopContext
    private let running = Mutex<[TopicPartition: Running]>([:])
    private let failure = Mutex<(any Error)?>(nil)

    init(stages: [any StageHandling], context: LoopContext) {
        self.stages = Dictionary(uniqueKeysWithValues: stages.map { ($0.topic, $0) })
        self.context = context
    }

    /// The partitions that are handled here now.
    var partitions: [TopicPartition] { running.withLock { Array($0.keys) } }

    /// Events of these partitions that are not handled yet.
    var lag: Int64 { context.consumer.lag() }

    /// Has every loop take its stream again, and send its tail: the broker came back empty.
    func retakeStreams() async {
        for loop in running.withLock({ $0.values.map(\.loop) }) { loop.retake() }
    }

    func run() async throws {
        let consumer = context.consumer
        try await withGracefulShutdownHandler {
            for await event in consumer.events() {
                switch event {
                case .assigned(let partitions):
                    for partition in partitions { start(partition) }
                case .revoked(let partitions, let isLost, let done):
                    await stop(partitions, isLost: isLost)
                    done()
                case .clusterChanged(let previous, let current):
                    context.logger.notice(
                        "the broker is another one", metadata: ["previous": "\(previous)", "current": "\(current)"])
                case .fault(let error):
                    context.logger.warning("the consumer reports a fault", metadata: ["error": "\(error)"])
                }
            }
            await stop(partitions, isLost: false)
            // The process ends with it, and whoever watches it starts a new one.
            if let failure = failure.withLock({ $0 }) { throw failure }
            try Task.checkCancellation()
        } onGracefulShutdown: {
            // Revokes everything, which is awaited above, and then ends the events.
            Task { await consumer.close() }
        }
    }

    private func start(_ partition: TopicPartition) {
        guard let stage = stages[partition.topic], let source = context.consumer.partition(partition) else { return }
        let loop = PartitionLoop(stage: stage, source: source, context: context)
        running.withLock { running in
            // Owned by `running`: every path out of `run` stops and awaits it.
            running[partition] = Running(loop: loop, task: Task { await run(loop, of: partition) })
        }
    }

    private func run(_ loop: PartitionLoop, of partition: TopicPartition) async {
        do {
            try await loop.run()
        } catch {
            context.logger.critical(
                "a partition cannot be handled", metadata: ["partition": "\(partition)", "error": "\(error)"])
            failure.withLock { $0 = error }
            await context.consumer.close()
        }
    }

    /// Waits for the loops of `partitions`, whose readers have ended: what is open is finished, or rolled back when the
    /// partition is lost.
    private func stop(_ partitions: [TopicPartition], isLost: Bool) async {
        let tasks = running.withLock { running in partitions.compactMap { running.removeValue(forKey: $0)?.task } }
        if isLost { for task in tasks { task.cancel() } }
        await withTaskCancellationHandler {
            for task in tasks { await task.value }
        } onCancel: {
            for task in tasks { task.cancel() }
        }
    }
}
