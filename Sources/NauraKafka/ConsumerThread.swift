import CRDKafka
import Dispatch
import Logging
import Synchronization

/// What a consumer's thread does: it alone polls the group's queue and answers rebalances.
extension ConsumerLoop {
    private enum Ending {
        case closed
        case brokerLost
    }

    func run() {
        while serve() == .brokerLost { lose() }
        end()
    }

    /// Serves one client until the consumer is closed or the client has lost all its brokers. Keeps no reference to it.
    private func serve() -> Ending {
        guard let queue = state.withLock(\.queue) else { return .closed }
        let client = queue.client
        let closing = QueueHandle(rd_kafka_queue_new(client.pointer), of: client)
        var isClosing = false
        var isLost = false
        var nextCheck = clock.now
        while true {
            if let deadline = state.withLock(\.closeDeadline) {
                if clock.now >= deadline { return .closed }
                if leavesGroup {
                    if !isClosing { client.leave(into: closing) }
                    isClosing = true
                    if rd_kafka_consumer_closed(client.pointer) == 1 { return .closed }
                } else if hasGivenUpAll() {
                    return .closed
                }
            }
            (isClosing ? closing : queue).poll(limit: isClosing ? 20 : 50) { event in
                isLost = handle(event, client) || isLost
            }
            finishRevocation(client)
            if clock.now >= nextCheck {
                nextCheck = clock.now + .seconds(1)
                isLost = check(client) || isLost
            }
            if isLost || client.hasLostBrokers {
                return state.withLock(\.closeDeadline) == nil ? .brokerLost : .closed
            }
        }
    }

    /// Takes from the owner what is held; says whether nothing is left.
    private func hasGivenUpAll() -> Bool {
        let (held, isRevoking) = state.withLock { (Array($0.held.keys), $0.revocation != nil) }
        if !held.isEmpty, !isRevoking { revoke(held, isLost: false) }
        return held.isEmpty && !isRevoking
    }

    /// Takes everything from the owner, waits until it has let go, then joins anew with a new client.
    private func lose() {
        let (held, commits, told) = state.withLock { state in
            defer {
                state.queue = nil
                state.commits = [:]
            }
            return (state.held, state.commits, state.revocation?.partitions ?? [])
        }
        fault(KafkaError(.brokerUnavailable, "all connections are lost", isTransient: true))
        state.withLock { $0.isBrokerAway = true }
        fail(commits, KafkaError(.notAssigned, "the broker was lost before it answered"))
        if !held.isEmpty {
            revoke(held.keys.filter { !told.contains($0) }, isLost: true)
            for holding in held.values { holding.detach() }
        }
        while state.withLock({ $0.revocation != nil && $0.closeDeadline == nil }) {
            _ = wakeUps.wait(timeout: .now() + .milliseconds(100))
            finishRevocation(nil)
        }
        while state.withLock(\.closeDeadline) == nil {
            do throws(KafkaError) {
                let queue = try Self.join(settings, topics)
                state.withLock { state in
                    state.queue = queue
                    state.destroyed = queue.client.destroyed
                }
                return
            } catch {
                // The settings were good before: the machine is short of something for now.
                fault(error)
                _ = wakeUps.wait(timeout: .now() + .seconds(1))
            }
        }
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
        fail(commits, KafkaError(.closed, "the consumer was closed before the broker answered"))
        events.finish()
        ended.open()
    }

    private func fail(_ commits: [Int: Commit], _ error: KafkaError) {
        for commit in commits.values { commit.reply.resume(returning: .failure(error)) }
    }

    // MARK: - Events

    /// - Returns: whether the client is to be given up.
    private func handle(_ event: EventHandle, _ client: ClientHandle) -> Bool {
        switch event.type {
        case RD_KAFKA_EVENT_REBALANCE: rebalance(event, client)
        case RD_KAFKA_EVENT_OFFSET_COMMIT: committed(event)
        case RD_KAFKA_EVENT_LOG: event.log(to: logger)
        case RD_KAFKA_EVENT_ERROR:
            fault(KafkaError(event.error, while: event.errorText))
            if event.error == RD_KAFKA_RESP_ERR__FATAL { return true }
            if event.error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN { state.withLock { $0.isBrokerAway = true } }
        default: break
        }
        return false
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
        let partitions = PartitionList.read(rd_kafka_event_topic_partition_list(event.pointer)).map(\.partition)
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
        logger.info("partitions revoked", metadata: ["partitions": "\(partitions)", "lost": "\(isLost)"])
        events.yield(.revoked(partitions, lost: isLost, done: { self.acknowledge(number) }))
    }

    /// Gives revoked partitions up once their owner has finished with them, or has had its time.
    private func finishRevocation(_ client: ClientHandle?) {
        let due: (revocation: Revocation, holdings: [KafkaPartition])? = state.withLock { state in
            guard let revocation = state.revocation, revocation.isAcknowledged || clock.now >= revocation.deadline
            else { return nil }
            state.revocation = nil
            return (revocation, revocation.partitions.compactMap { state.held.removeValue(forKey: $0) })
        }
        guard let (due, holdings) = due else { return }
        if !due.isAcknowledged {
            logger.warning("revoked partitions were not finished in time", metadata: ["count": "\(holdings.count)"])
        }
        for holding in holdings { holding.detach() }
        guard let client else { return }
        let list = PartitionList(due.partitions)
        Self.drop(rd_kafka_incremental_unassign(client.pointer, list.pointer))
    }

    // MARK: - Once a second

    /// Looks at what has waited too long, where new partitions stand, and whether the cluster is still the same.
    ///
    /// - Returns: whether the client is to be given up.
    private func check(_ client: ClientHandle) -> Bool {
        let now = clock.now
        let late = state.withLock { state in state.commits.filter { $0.value.deadline <= now } }
        for (number, commit) in late {
            answer(
                number, .failure(KafkaError(.timedOut, "committing \(Self.text(commit.offsets))", isTransient: true)))
        }
        guard let current = client.clusterID else { return false }
        learnStarts(client)
        return notice(current)
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

    private func notice(_ current: String) -> Bool {
        let (wasAway, previous, held) = state.withLock { state in
            defer {
                if state.isBrokerAway { state.faultsTold = [] }
                state.isBrokerAway = false
                state.clusterID = current
            }
            return (state.isBrokerAway, state.clusterID, state.held)
        }
        if wasAway { logger.info("broker is back") }
        if let previous, previous != current {
            logger.warning(
                "the broker is another cluster now", metadata: ["previous": "\(previous)", "now": "\(current)"])
            events.yield(.clusterChanged(previous: previous, current: current))
        }
        return held.values.contains { $0.clusterID != nil && $0.clusterID != current }
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
