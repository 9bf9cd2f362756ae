import CRDKafka
import Dispatch
import Foundation
import Logging
import Synchronization

/// The thread behind a consumer, as seen from other threads. `ConsumerThread.swift` holds what it does itself.
///
/// A client that has lost all its connections is not kept (``ConnectionDoor`` says why): the partitions are lost, and a
/// new client joins the group when a broker is there.
final class ConsumerLoop: Sendable {
    /// How long the owner of revoked partitions may take to finish.
    static let revocationLimit: Duration = .seconds(15)
    /// How long a commit may remain unanswered.
    static let commitLimit: Duration = .seconds(10)

    struct Revocation {
        let number: Int
        var partitions: Set<TopicPartition>
        let deadline: ContinuousClock.Instant
        var isAcknowledged = false
    }

    struct Commit {
        let offsets: [TopicPartition: Int64]
        let deadline: ContinuousClock.Instant
        let reply: CheckedContinuation<Result<Void, KafkaError>, Never>
    }

    struct State {
        /// The group's queue, and by it the client; nil while there is none.
        var queue: QueueHandle?
        var held: [TopicPartition: KafkaPartition] = [:]
        var revocation: Revocation?
        var commits: [Int: Commit] = [:]
        var numbers = 0
        var closeDeadline: ContinuousClock.Instant?
        var faultsTold: Set<KafkaError.Code> = []
        var isBrokerAway = false
        var clusterID: String?
        /// Opens when librdkafka has ended the threads of the last client.
        var destroyed: Latch
    }

    let state: Mutex<State>
    let events: AsyncStream<ConsumerEvent>.Continuation
    let settings: [(String, String)]
    let leavesGroup: Bool
    let topics: [String]
    let logger: Logger
    let ended = Latch()
    /// Signalled when the thread has something to look at while it has no client to poll.
    let wakeUps = DispatchSemaphore(value: 0)
    let clock = ContinuousClock()

    init(
        settings: [(String, String)], leavesGroup: Bool, topics: [String],
        events: AsyncStream<ConsumerEvent>.Continuation, logger: Logger
    ) throws(KafkaError) {
        self.settings = settings
        self.leavesGroup = leavesGroup
        self.topics = topics
        self.events = events
        self.logger = logger
        let queue = try Self.join(settings, topics)
        state = Mutex(State(queue: queue, destroyed: queue.client.destroyed))
    }

    func start() {
        let thread = Thread { self.run() }
        thread.name = "naura-consumer"
        thread.start()
    }

    /// A new client that asks for its share of `topics`.
    static func join(_ settings: [(String, String)], _ topics: [String]) throws(KafkaError) -> QueueHandle {
        let client = try ClientHandle(
            RD_KAFKA_CONSUMER, settings: settings, events: RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT)
        rd_kafka_poll_set_consumer(client.pointer)
        let list = PartitionList(topics.map { TopicPartition(topic: $0, partition: -1) })
        let error = rd_kafka_subscribe(client.pointer, list.pointer)
        if error != RD_KAFKA_RESP_ERR_NO_ERROR { throw KafkaError(error, while: "subscribing to \(topics)") }
        return QueueHandle(rd_kafka_queue_get_consumer(client.pointer), of: client)
    }

    func partition(_ partition: TopicPartition) -> KafkaPartition? { state.withLock { $0.held[partition] } }

    func lags() -> [TopicPartition: Int64] { state.withLock(\.held).compactMapValues(\.lag) }

    var clusterID: String? { state.withLock(\.queue)?.client.clusterID }

    func requestClose(within limit: Duration) {
        state.withLock { state in
            if state.closeDeadline == nil { state.closeDeadline = clock.now + limit }
        }
        wake()
    }

    /// Waits until the thread and then librdkafka have ended: `limit` and 3 s at most for both.
    func waitForEnd(within limit: Duration) async {
        // The thread keeps the limit itself; the second more lets it say so.
        guard await ended.wait(atMost: limit + .seconds(1)) else { return }
        // librdkafka often takes the full second that its threads sleep.
        if await !state.withLock(\.destroyed).wait(atMost: .seconds(2)) {
            logger.warning("librdkafka does not end; left behind")
        }
    }

    func commit(_ offsets: [TopicPartition: Int64]) async throws(KafkaError) {
        let (queue, fresh) = try admitted(offsets)
        guard !fresh.isEmpty else { return }
        let result = await withCheckedContinuation { reply in
            let number = state.withLock { state in
                state.numbers += 1
                state.commits[state.numbers] = Commit(
                    offsets: fresh, deadline: clock.now + Self.commitLimit, reply: reply)
                return state.numbers
            }
            let list = PartitionList(offsets: fresh)
            let error = rd_kafka_commit_queue(
                queue.client.pointer, list.pointer, queue.pointer, nil, UnsafeMutableRawPointer(bitPattern: number))
            if error != RD_KAFKA_RESP_ERR_NO_ERROR {
                answer(number, .failure(KafkaError(error, while: "committing \(Self.text(fresh))")))
            }
        }
        try result.get()
    }

    /// What of `offsets` is new, after a check that all of it is ours to say.
    private func admitted(
        _ offsets: [TopicPartition: Int64]
    ) throws(KafkaError) -> (QueueHandle, [TopicPartition: Int64]) {
        let (queue, held) = state.withLock { ($0.queue, $0.held) }
        guard let queue else { throw KafkaError(.notAssigned, "committing \(Self.text(offsets)): nothing is held") }
        let cluster = queue.client.clusterID
        var fresh: [TopicPartition: Int64] = [:]
        for (partition, offset) in offsets {
            guard let holding = held[partition], holding.isHeld else {
                throw KafkaError(.notAssigned, "committing \(partition): it is not held any more")
            }
            // An offset of a cluster that is gone would make its empty successor skip the first records.
            guard holding.clusterID == nil || cluster == nil || holding.clusterID == cluster else {
                throw KafkaError(.notAssigned, "committing \(partition): the cluster is another one now")
            }
            if !holding.isBehind(offset) { fresh[partition] = offset }
        }
        return (queue, fresh)
    }

    func acknowledge(_ number: Int) {
        state.withLock { state in
            if state.revocation?.number == number { state.revocation?.isAcknowledged = true }
        }
        wake()
    }

    func answer(_ number: Int, _ result: Result<Void, KafkaError>) {
        guard let commit = state.withLock({ $0.commits.removeValue(forKey: number) }) else { return }
        if case .success = result {
            let held = state.withLock(\.held)
            for (partition, offset) in commit.offsets { held[partition]?.committed(offset) }
        }
        commit.reply.resume(returning: result)
    }

    static func text(_ offsets: [TopicPartition: Int64]) -> String {
        offsets.map { "\($0.key)@\($0.value)" }.sorted().joined(separator: ", ")
    }

    private func wake() {
        state.withLock(\.queue)?.wake()
        wakeUps.signal()
    }
}
