import CRDKafka
import Dispatch
import Logging
import Synchronization

/// What a cluster says of itself.
public struct ClusterDescription: Sendable, Equatable {
    /// The cluster's id. A memory-only broker that came back empty has another one.
    public let clusterID: String
    /// The brokers, `host:port`.
    public let brokers: [String]
    /// The number of partitions of each topic.
    public let topics: [String: Int]
}

/// Asks and changes the cluster, one question at a time, on a queue whose thread may block.
public final class KafkaAdmin: Sendable {
    let configuration: KafkaConfiguration
    private let logger: Logger
    private let questions = DispatchQueue(label: "naura.kafka.admin")
    private let client: Mutex<ClientHandle?>

    /// An administrator of the cluster at `configuration.brokers`; the broker need not be there yet.
    ///
    /// - Throws: ``KafkaError`` `configuration` when librdkafka refuses a setting.
    public init(
        configuration: KafkaConfiguration, logger: Logger = Logger(label: "naura.kafka")
    ) throws(KafkaError) {
        self.configuration = configuration
        self.logger = logger
        client = Mutex(try ClientHandle(RD_KAFKA_PRODUCER, settings: configuration.adminSettings(), events: 0))
    }

    /// Ends the connections; questions that come later fail as `closed`. Comes back after 2 s at the latest.
    public func close() async {
        let destroyed = client.withLock { client in
            defer { client = nil }
            return client?.destroyed
        }
        if let destroyed, await !destroyed.wait(atMost: .seconds(2)) {
            logger.warning("librdkafka does not end; left behind")
        }
    }

    /// The cluster's id, brokers and topics.
    ///
    /// - Throws: ``KafkaError``, transient when no broker answers within `limit`.
    public func metadata(within limit: Duration = .seconds(5)) async throws(KafkaError) -> ClusterDescription {
        try await ask { client throws(KafkaError) in try Self.describe(client, limit: limit) }
    }

    /// Makes topics that do not exist yet; those that do stay as they are.
    ///
    /// - Parameters:
    ///   - partitions: of each new topic, at least 1.
    ///   - replicas: of each partition; -1 leaves it to the broker.
    ///   - settings: of each new topic, such as `retention.ms`.
    public func createTopics(
        _ names: [String], partitions: Int = 4, replicas: Int = 1, settings: [String: String] = [:],
        within limit: Duration = .seconds(15)
    ) async throws(KafkaError) {
        guard !names.isEmpty else { return }
        try await ask { client throws(KafkaError) in
            var text = [CChar](repeating: 0, count: 256)
            var topics: [OpaquePointer?] = []
            defer { for topic in topics { rd_kafka_NewTopic_destroy(topic) } }
            for name in names {
                guard let topic = rd_kafka_NewTopic_new(name, Int32(partitions), Int32(replicas), &text, text.count)
                else { throw KafkaError(.configuration, "topic `\(name)` with \(partitions) partitions is refused") }
                topics.append(topic)
                for (key, value) in settings { rd_kafka_NewTopic_set_config(topic, key, value) }
            }
            let options = Self.options(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, limit)
            defer { rd_kafka_AdminOptions_destroy(options) }
            let queue = QueueHandle(rd_kafka_queue_new(client.pointer), of: client)
            rd_kafka_CreateTopics(client.pointer, &topics, topics.count, options, queue.pointer)
            try Self.results(queue, limit, "creating topics", ignoring: RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
                rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result($0), &$1)
            }
        }
    }

    /// Deletes topics with all their records; one that does not exist is no error.
    public func deleteTopics(_ names: [String], within limit: Duration = .seconds(15)) async throws(KafkaError) {
        guard !names.isEmpty else { return }
        try await ask { client throws(KafkaError) in
            var topics: [OpaquePointer?] = names.map { rd_kafka_DeleteTopic_new($0) }
            defer { for topic in topics { rd_kafka_DeleteTopic_destroy(topic) } }
            let options = Self.options(client, RD_KAFKA_ADMIN_OP_DELETETOPICS, limit)
            defer { rd_kafka_AdminOptions_destroy(options) }
            let queue = QueueHandle(rd_kafka_queue_new(client.pointer), of: client)
            rd_kafka_DeleteTopics(client.pointer, &topics, topics.count, options, queue.pointer)
            try Self.results(queue, limit, "deleting topics", ignoring: RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
                rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result($0), &$1)
            }
        }
    }

    /// What `group` has committed in `topic`: by partition the next offset to read; partitions without a commit are left
    /// out.
    ///
    /// - Throws: ``KafkaError`` `topic-missing` when there is no such topic.
    public func committedOffsets(
        of group: String, topic: String, within limit: Duration = .seconds(5)
    ) async throws(KafkaError) -> [Int32: Int64] {
        let settings = configuration.consumerSettings(group: group, instance: nil)
        return try await ask { client throws(KafkaError) in
            guard let partitions = try Self.describe(client, limit: limit).topics[topic] else {
                throw KafkaError(.topicMissing, "topic `\(topic)`", isTransient: true)
            }
            // Asked as a member would ask, without becoming one: only who subscribes joins the group.
            let reader = try ClientHandle(RD_KAFKA_CONSUMER, settings: settings, events: 0)
            let list = PartitionList((0..<partitions).map { TopicPartition(topic: topic, partition: Int32($0)) })
            let error = rd_kafka_committed(reader.pointer, list.pointer, Int32(limit.milliseconds))
            guard error == RD_KAFKA_RESP_ERR_NO_ERROR else {
                throw KafkaError(error, while: "asking for the offsets of \(group)")
            }
            let known = PartitionList.read(list.pointer).filter { $0.offset >= 0 }
            return Dictionary(uniqueKeysWithValues: known.map { ($0.partition.partition, $0.offset) })
        }
    }

    /// Waits until a broker answers, however long that takes; says so once when it has to wait.
    ///
    /// - Returns: what the cluster said.
    /// - Throws: `CancellationError`, or a ``KafkaError`` that no waiting cures.
    @discardableResult
    public func waitUntilAvailable() async throws -> ClusterDescription {
        var hasWaited = false
        while true {
            try Task.checkCancellation()
            do {
                // librdkafka itself keeps trying to connect within the second; this is no busy loop.
                let description = try await metadata(within: .seconds(1))
                if hasWaited { logger.info("broker is back") }
                return description
            } catch {
                guard error.isTransient else { throw error }
                if !hasWaited {
                    logger.warning(
                        "waiting for the broker",
                        metadata: ["brokers": "\(configuration.brokers)", "error": "\(error)"])
                }
                hasWaited = true
            }
        }
    }

    // MARK: - Asking

    /// Runs `question`, which blocks, on the queue.
    func ask<R: Sendable>(
        _ question: @escaping @Sendable (ClientHandle) throws(KafkaError) -> R
    ) async throws(KafkaError) -> R {
        let result: Result<R, KafkaError> = await withCheckedContinuation { continuation in
            questions.async { continuation.resume(returning: self.answer(question)) }
        }
        return try result.get()
    }

    private func answer<R>(_ question: (ClientHandle) throws(KafkaError) -> R) -> Result<R, KafkaError> {
        do throws(KafkaError) {
            let client = try current()
            defer {
                drain(client)
                // Nobody polls this client, so what arms its door is each answer. Asked only before the next question, a
                // client that was asked once would meet the broker that takes the place of the one it knows.
                _ = client.hasLostBrokers
            }
            let result = try question(client)
            return .success(result)
        } catch {
            return .failure(error)
        }
    }

    /// The client to ask with: a new one where the last has lost its brokers.
    private func current() throws(KafkaError) -> ClientHandle {
        guard let client = client.withLock({ $0 }) else { throw KafkaError(.closed, "the admin is closed") }
        guard client.hasLostBrokers else { return client }
        let next = try ClientHandle(RD_KAFKA_PRODUCER, settings: configuration.adminSettings(), events: 0)
        self.client.withLock { client in
            if client != nil { client = next }
        }
        return next
    }

    /// Takes librdkafka's messages, which would pile up otherwise.
    private func drain(_ client: ClientHandle) {
        let queue = QueueHandle(rd_kafka_queue_get_main(client.pointer), of: client)
        var isEmpty = false
        while !isEmpty {
            isEmpty = true
            queue.poll(limit: 0) { event in
                isEmpty = false
                if event.type == RD_KAFKA_EVENT_LOG { event.log(to: logger) }
            }
        }
    }

    static func describe(_ client: ClientHandle, limit: Duration) throws(KafkaError) -> ClusterDescription {
        var found: UnsafePointer<rd_kafka_metadata>?
        let error = rd_kafka_metadata(client.pointer, 1, nil, &found, Int32(limit.milliseconds))
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR, let found else {
            throw KafkaError(error, while: "asking for metadata")
        }
        defer { rd_kafka_metadata_destroy(found) }
        let metadata = found.pointee
        let brokers = (0..<Int(metadata.broker_cnt)).map { index in
            let broker = metadata.brokers[index]
            return "\(String(cString: broker.host)):\(broker.port)"
        }
        var topics: [String: Int] = [:]
        for index in 0..<Int(metadata.topic_cnt) {
            let topic = metadata.topics[index]
            if topic.err == RD_KAFKA_RESP_ERR_NO_ERROR {
                topics[String(cString: topic.topic)] = Int(topic.partition_cnt)
            }
        }
        guard let clusterID = client.clusterID else {
            throw KafkaError(.brokerUnavailable, "the cluster does not tell its id", isTransient: true)
        }
        return ClusterDescription(clusterID: clusterID, brokers: brokers, topics: topics)
    }

    private static func options(
        _ client: ClientHandle, _ operation: rd_kafka_admin_op_t, _ limit: Duration
    ) -> OpaquePointer? {
        let options = rd_kafka_AdminOptions_new(client.pointer, operation)
        var text = [CChar](repeating: 0, count: 256)
        rd_kafka_AdminOptions_set_request_timeout(options, Int32(limit.milliseconds), &text, text.count)
        return options
    }

    /// Waits for the answer on `queue` and throws its first error, that of the whole request or of one topic.
    private static func results(
        _ queue: QueueHandle, _ limit: Duration, _ doing: String, ignoring harmless: rd_kafka_resp_err_t,
        _ topics: (OpaquePointer, inout Int) -> UnsafeMutablePointer<OpaquePointer?>?
    ) throws(KafkaError) {
        var failure: KafkaError? = KafkaError(.timedOut, doing, isTransient: true)
        queue.poll(limit: Int32(limit.milliseconds) + 1_000) { event in
            failure = nil
            if event.error != RD_KAFKA_RESP_ERR_NO_ERROR {
                failure = KafkaError(event.error, while: doing)
                return
            }
            var count = 0
            guard let list = topics(event.pointer, &count) else { return }
            for index in 0..<count {
                let error = rd_kafka_topic_result_error(list[index])
                if error != RD_KAFKA_RESP_ERR_NO_ERROR && error != harmless {
                    let name = rd_kafka_topic_result_name(list[index]).map { String(cString: $0) } ?? ""
                    failure = KafkaError(error, while: "\(doing): \(name)")
                }
            }
        }
        if let failure { throw failure }
    }
}
