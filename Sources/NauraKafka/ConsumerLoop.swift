import CRDKafka
import Foundation
import Logging
import Synchronization

/// The thread behind a consumer: it alone polls the group's queue and answers rebalances.
final class ConsumerLoop: Sendable {
    /// How long the owner of revoked partitions may take to finish.
    static let revocationLimit: Duration = .seconds(15)
    /// How long a commit may remain unanswered.
    static let commitLimit: Duration = .seconds(10)

    private struct Revocation {
        let number: Int
        var partitions: Set<TopicPartition>
        let deadline: ContinuousClock.Instant
        var isAcknowledged = false
    }

    private struct Commit {
        let offsets: [TopicPartition: Int64]
        let deadline: ContinuousClock.Instant
        let reply: CheckedContinuation<Result<Void, KafkaError>, Never>
    }

    private struct State {
        /// The group's queue, and by it the client; nil once the thread has ended.
        var queue: QueueHandle?
        var held: [TopicPartition: KafkaPartition] = [:]
        var revocation: Revocation?
        var commits: [Int: Commit] = [:]
        var numbers = 0
        var closeDeadline: ContinuousClock.Instant?
        var faultsTold: Set<KafkaError.Code> = []
        var isBrokerAway = false
        var clusterID: String?
    }

    private let state: Mutex<State>
    private let events: AsyncStream<ConsumerEvent>.Continuation
    private let topics: [String]
    private let logger: Logger
    private let ended = Latch()
    private let destroyed: Latch
    private let clock = ContinuousClock()

    init(
        settings: [(String, String)], topics: [String], events: AsyncStream<ConsumerEvent>.Continuation, logger: Logger
    ) throws(KafkaError) {
        let client = try ClientHandle(
            RD_KAFKA_CONSUMER, settings: settings, events: RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT)
        rd_kafka_poll_set_consumer(client.pointer)
        self.topics = topics
        self.events = events
        self.logger = logger
        destroyed = client.destroyed
        state = Mutex(State(queue: QueueHandle(rd_kafka_queue_get_consumer(client.pointer), of: client)))
        try subscribe(client)
    }

    func start() {
        let thread = Thread { self.run() }
        thread.name = "naura-consumer"
        thread.start()
    }

    // MARK: - Called from other threads

    func partition(_ partition: TopicPartition) -> KafkaPartition? { state.withLock { $0.held[partition] } }

    func lags() -> [TopicPartition: Int64] { state.withLock(\.held).compactMapValues(\.lag) }

    var clusterID: String? { state.withLock(\.queue)?.client.clusterID }

    func requestClose(within limit: Duration) {
        state.withLock { state in
            if state.closeDeadline == nil { state.closeDeadline = clock.now + limit }
        }
        wake()
    }

    /// Waits until the loop and then librdkafka have ended, `limit` at most for both.
    func waitForEnd(within limit: Duration) async {
        let start = clock.now
        // The loop keeps the limit itself; the second more lets it say so.
        guard await ended.wait(atMost: limit + .seconds(1)) else { return }
        let rest = limit - (clock.now - start)
        if await !destroyed.wait(atMost: max(rest, .milliseconds(500))) {
            logger.warning("librdkafka does not end; left behind")
        }
    }

    func commit(_ offsets: [TopicPartition: Int64]) async throws(KafkaError) {
        let (queue, fresh) = try admitted(offsets)
        let client = queue.client
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
                client.pointer, list.pointer, queue.pointer, nil, UnsafeMutableRawPointer(bitPattern: number))
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
        guard let queue else { throw KafkaError(.closed, "committing \(Self.text(offsets)): the consumer is closed") }
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

    private func wake() { state.withLock(\.queue)?.wake() }

    private func acknowledge(_ number: Int) {
        state.withLock { state in
            if state.revocation?.number == number { state.revocation?.isAcknowledged = true }
        }
        wake()
    }

    private func answer(_ number: Int, _ result: Result<Void, KafkaError>) {
        guard let commit = state.withLock({ $0.commits.removeValue(forKey: number) }) else { return }
        if case .success = result {
            let held = state.withLock(\.held)
            for (partition, offset) in commit.offsets { held[partition]?.committed(offset) }
        }
        commit.reply.resume(returning: result)
    }

    private static func text(_ offsets: [TopicPartition: Int64]) -> String {
        offsets.map { "\($0.key)@\($0.value)" }.sorted().joined(separator: ", ")
    }
}

// MARK: - The thread

extension ConsumerLoop {
    private func run() {
        guard let queue = state.withLock(\.queue) else { return }
        let client = queue.client
        let closing = QueueHandle(rd_kafka_queue_new(client.pointer), of: client)
        var isClosing = false
        var nextCheck = clock.now
        while true {
            let deadline = state.withLock(\.closeDeadline)
            if let deadline {
                if !isClosing {
                    isClosing = true
                    Self.drop(rd_kafka_consumer_close_queue(client.pointer, closing.pointer))
                }
                if rd_kafka_consumer_closed(client.pointer) == 1 || clock.now >= deadline { break }
            }
            if isClosing {
                closing.poll(limit: 20) { handle($0, client) }
            } else {
                queue.poll(limit: 100) { handle($0, client) }
            }
            finishRevocation(client)
            if clock.now >= nextCheck {
                nextCheck = clock.now + .seconds(1)
                check(client)
            }
        }
        end()
    }

    private func end() {
        let (held, commits) = state.withLock { state in
            defer {
                state.queue = nil
                state.held = [:]
                state.commits = [:]
                state.revocation = nil
            }
            return (state.held, state.commits)
        }
        for partition in held.values { partition.detach() }
        for commit in commits.values {
            commit.reply.resume(
                returning: .failure(KafkaError(.closed, "committing \(Self.text(commit.offsets)): closed meanwhile")))
        }
        events.finish()
        ended.open()
    }

    private func handle(_ event: EventHandle, _ client: ClientHandle) {
        switch event.type {
        case RD_KAFKA_EVENT_REBALANCE: rebalance(event, client)
        case RD_KAFKA_EVENT_OFFSET_COMMIT: committed(event)
        case RD_KAFKA_EVENT_LOG: event.log(to: logger)
        case RD_KAFKA_EVENT_ERROR:
            if event.error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN { state.withLock { $0.isBrokerAway = true } }
            fault(KafkaError(event.error, while: event.errorText))
        default: break
        }
    }

    private func committed(_ event: EventHandle) {
        let number = Int(bitPattern: rd_kafka_event_opaque(event.pointer))
        let list = PartitionList.read(rd_kafka_event_topic_partition_list(event.pointer))
        let error = list.map(\.error).first { $0 != RD_KAFKA_RESP_ERR_NO_ERROR } ?? event.error
        if error == RD_KAFKA_RESP_ERR_NO_ERROR {
            answer(number, .success(()))
        } else {
            let offsets = list.map { "\($0.partition)@\($0.offset)" }.joined(separator: ", ")
            answer(number, .failure(KafkaError(error, while: "committing \(offsets)")))
        }
    }

    private func rebalance(_ event: EventHandle, _ client: ClientHandle) {
        let list = rd_kafka_event_topic_partition_list(event.pointer)
        let partitions = PartitionList.read(list).map(\.partition)
        switch event.error {
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
            assign(partitions, client)
        case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
            revoke(partitions, isLost: rd_kafka_assignment_lost(client.pointer) == 1)
        default:
            // librdkafka tells a failed rebalance and will try again; nothing of ours may survive it.
            fault(KafkaError(event.error, while: "rebalancing"))
            revoke(Array(state.withLock(\.held).keys), isLost: true)
        }
    }

    private func assign(_ partitions: [TopicPartition], _ client: ClientHandle) {
        do {
            for one in partitions {
                let holding = try KafkaPartition(one, of: client, report: { self.fault($0) })
                state.withLock { $0.held.updateValue(holding, forKey: one) }?.detach()
            }
        } catch {
            fault(error)
        }
        let list = PartitionList(partitions)
        if let error = rd_kafka_incremental_assign(client.pointer, list.pointer) {
            // The assignment was lost meanwhile; a revocation follows.
            fault(KafkaError(rd_kafka_error_code(error), while: "taking over \(partitions)"))
            rd_kafka_error_destroy(error)
        }
        state.withLock { $0.faultsTold = [] }
        logger.info("partitions assigned", metadata: ["partitions": "\(partitions)"])
        events.yield(.assigned(partitions))
    }

    private func revoke(_ partitions: [TopicPartition], isLost: Bool) {
        let (number, holdings) = state.withLock { state in
            state.numbers += 1
            let earlier = state.revocation?.partitions ?? []
            state.revocation = Revocation(
                number: state.numbers, partitions: earlier.union(partitions),
                deadline: clock.now + Self.revocationLimit)
            return (state.numbers, partitions.compactMap { state.held[$0] })
        }
        for holding in holdings { holding.stop(lost: isLost) }
        let isLost = isLost || holdings.contains { !$0.isHeld }
        logger.info("partitions revoked", metadata: ["partitions": "\(partitions)", "lost": "\(isLost)"])
        events.yield(.revoked(partitions, lost: isLost, done: { self.acknowledge(number) }))
    }

    /// Gives revoked partitions up once their owner has finished with them, or has had its time.
    private func finishRevocation(_ client: ClientHandle) {
        let due: (revocation: Revocation, holdings: [KafkaPartition])? = state.withLock { state in
            guard let revocation = state.revocation, revocation.isAcknowledged || clock.now >= revocation.deadline
            else { return nil }
            state.revocation = nil
            return (revocation, revocation.partitions.compactMap { state.held.removeValue(forKey: $0) })
        }
        guard let (due, holdings) = due else { return }
        if !due.isAcknowledged {
            logger.warning("revoked partitions were not finished in time", metadata: ["count": "\(due.partitions.count)"])
        }
        for holding in holdings { holding.detach() }
        let list = PartitionList(due.partitions)
        Self.drop(rd_kafka_incremental_unassign(client.pointer, list.pointer))
    }

    /// Once a second: what has waited too long, where new partitions stand, whether the cluster is still the same.
    private func check(_ client: ClientHandle) {
        let now = clock.now
        let late = state.withLock { state in state.commits.filter { $0.value.deadline <= now } }
        for (number, commit) in late {
            answer(number, .failure(KafkaError(.timedOut, "committing \(Self.text(commit.offsets))", isTransient: true)))
        }
        if state.withLock(\.isBrokerAway) { lookForBroker(client) }
        if !state.withLock(\.isBrokerAway) { learnStarts(client) }
        noticeCluster(client)
    }

    private func lookForBroker(_ client: ClientHandle) {
        var metadata: UnsafePointer<rd_kafka_metadata>?
        guard rd_kafka_metadata(client.pointer, 0, nil, &metadata, 200) == RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        rd_kafka_metadata_destroy(metadata)
        state.withLock { state in
            state.isBrokerAway = false
            state.faultsTold = []
        }
        logger.info("broker is back")
    }

    /// Asks for the committed offsets of partitions of which nothing was read yet: an idle one has a lag, too.
    private func learnStarts(_ client: ClientHandle) {
        let unknown = state.withLock(\.held).values.filter(\.needsStart)
        guard !unknown.isEmpty else { return }
        let list = PartitionList(unknown.map(\.topicPartition))
        guard rd_kafka_committed(client.pointer, list.pointer, 500) == RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        let held = state.withLock(\.held)
        for one in PartitionList.read(list.pointer) where one.error == RD_KAFKA_RESP_ERR_NO_ERROR {
            held[one.partition]?.start(at: one.offset)
        }
    }

    private func noticeCluster(_ client: ClientHandle) {
        guard let current = client.clusterID else { return }
        let previous = state.withLock { state in
            defer { state.clusterID = current }
            return state.clusterID
        }
        guard let previous, previous != current else { return }
        logger.warning("the broker is another cluster now", metadata: ["previous": "\(previous)", "now": "\(current)"])
        events.yield(.clusterChanged(previous: previous, current: current))
        let strangers = state.withLock(\.held).values.filter { $0.clusterID != nil && $0.clusterID != current }
        guard !strangers.isEmpty else { return }
        for holding in strangers { holding.stop(lost: true) }
        rejoin(client)
    }

    /// Leaves the group and joins it again, which loses all partitions and reads their places anew.
    private func rejoin(_ client: ClientHandle) {
        let error = rd_kafka_unsubscribe(client.pointer)
        if error != RD_KAFKA_RESP_ERR_NO_ERROR { fault(KafkaError(error, while: "leaving the group")) }
        do {
            try subscribe(client)
        } catch {
            fault(error)
        }
    }

    private func subscribe(_ client: ClientHandle) throws(KafkaError) {
        let list = PartitionList(topics.map { TopicPartition(topic: $0, partition: -1) })
        let error = rd_kafka_subscribe(client.pointer, list.pointer)
        if error != RD_KAFKA_RESP_ERR_NO_ERROR { throw KafkaError(error, while: "subscribing to \(topics)") }
    }

    private func fault(_ error: KafkaError) {
        guard state.withLock({ $0.faultsTold.insert(error.code).inserted }) else { return }
        logger.warning("consumer has trouble", metadata: ["error": "\(error)"])
        events.yield(.fault(error))
    }

    /// Frees an error object whose case comes back as an event.
    private static func drop(_ error: OpaquePointer?) {
        if let error { rd_kafka_error_destroy(error) }
    }
}
