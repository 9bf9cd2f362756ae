import Logging

/// A member of a consumer group that hands each partition's records to a reader of its own.
///
/// Offsets are committed only by ``commit(_:)``; partitions move one by one (cooperative-sticky). A thread of its own
/// serves the group, so a slow reader never costs the membership; it only fills its partition's backlog, which is
/// bounded. A broker that is away is waited for.
public final class KafkaConsumer: Sendable {
    private let loop: ConsumerLoop
    private let stream: AsyncStream<ConsumerEvent>

    /// Joins `group` and asks for partitions of `topics`; those that do not exist yet are taken up when they do.
    ///
    /// - Parameters:
    ///   - instance: a name that stays the same over restarts (Kafka's static membership); nil for none.
    ///   - logger: told of changes of state.
    /// - Throws: ``KafkaError`` `configuration` when librdkafka refuses a setting.
    public init(
        configuration: KafkaConfiguration, group: String, topics: [String], instance: String? = nil,
        logger: Logger = Logger(label: "naura.kafka")
    ) throws(KafkaError) {
        let (stream, continuation) = AsyncStream<ConsumerEvent>.makeStream()
        self.stream = stream
        var logger = logger
        logger[metadataKey: "group"] = "\(group)"
        loop = try ConsumerLoop(
            settings: configuration.consumerSettings(group: group, instance: instance),
            leavesGroup: configuration.leavesGroup, topics: topics, events: continuation, logger: logger)
        loop.start()
    }

    deinit { loop.requestClose(within: .zero) }

    /// What happens to the consumer, in order. For one reader; ends when the consumer is closed.
    public func events() -> AsyncStream<ConsumerEvent> { stream }

    /// The partition, if this consumer holds it now.
    public func partition(_ partition: TopicPartition) -> KafkaPartition? { loop.partition(partition) }

    /// Records in the broker how far partitions are settled, and waits for its answer (10 s at most).
    ///
    /// - Parameter offsets: per partition the offset *after* the last settled record. An offset lower than one that
    ///   was committed before is ignored.
    /// - Throws: ``KafkaError`` `notAssigned` when a partition is not held any more: nothing was committed, and its new
    ///   owner reads from the last commit. Transient ones may be tried again, or left to the next commit.
    public func commit(_ offsets: [TopicPartition: Int64]) async throws(KafkaError) {
        try await loop.commit(offsets)
    }

    /// Records that wait in the broker for this consumer: ends of its partitions less the next records to be read.
    public func lag() -> Int64 { lags().values.reduce(0, +) }

    /// The lag of each held partition, as far as the broker has told it.
    public func lags() -> [TopicPartition: Int64] { loop.lags() }

    /// The id of the cluster that answers; nil before its first answer.
    public var clusterID: String? { loop.clusterID }

    /// Leaves the group, in silence where the configuration says so: `.revoked` is told first, and waited for, then the
    /// events end.
    ///
    /// Comes back after `limit` at the latest, also when librdkafka hangs (it can after a broker outage).
    public func close(within limit: Duration = .seconds(20)) async {
        loop.requestClose(within: limit)
        await loop.waitForEnd(within: limit)
    }
}
