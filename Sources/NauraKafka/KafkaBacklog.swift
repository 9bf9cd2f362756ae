import CRDKafka
import Foundation

/// How far a group is behind in one partition.
public struct PartitionBacklog: Sendable, Equatable {
    public let partition: TopicPartition
    /// The next record that the group will read.
    public let position: Int64
    /// The offset that the partition's next record gets.
    public let end: Int64
    /// When the oldest unread record was written; nil when none is unread, or the broker did not hand it out in time.
    public let oldestAt: Date?

    /// Records not read yet.
    public var lag: Int64 { max(0, end - position) }
}

extension KafkaAdmin {
    /// How far `group` is behind in each partition of `topics`; topics that do not exist are left out.
    ///
    /// Asked from outside: whether members of the group live, and what they say of themselves, does not matter.
    /// - Throws: ``KafkaError``, transient when no broker answers within `limit`.
    public func backlog(
        of group: String, topics: [String], within limit: Duration = .seconds(5)
    ) async throws(KafkaError) -> [PartitionBacklog] {
        // The oldest record of each partition is all that is wanted.
        let settings = configuration.consumerSettings(group: group, instance: nil) + [("queued.min.messages", "1")]
        return try await ask { client throws(KafkaError) in
            let known = try Self.describe(client, limit: limit).topics
            let partitions = topics.flatMap { topic in
                (0..<(known[topic] ?? 0)).map { TopicPartition(topic: topic, partition: Int32($0)) }
            }
            guard !partitions.isEmpty else { return [] }
            let reader = try ClientHandle(RD_KAFKA_CONSUMER, settings: settings, events: 0)
            let list = PartitionList(partitions)
            let error = rd_kafka_committed(reader.pointer, list.pointer, Int32(limit.milliseconds))
            guard error == RD_KAFKA_RESP_ERR_NO_ERROR else {
                throw KafkaError(error, while: "asking for the offsets of \(group)")
            }
            var places: [(partition: TopicPartition, position: Int64, end: Int64)] = []
            for (partition, committed, _) in PartitionList.read(list.pointer) {
                let (low, high) = try watermarks(of: partition, reader, limit)
                places.append((partition, max(low, committed), high))
            }
            let behind = places.filter { $0.position < $0.end }
            let oldest = oldestRecords(
                Dictionary(uniqueKeysWithValues: behind.map { ($0.partition, $0.position) }), reader, limit)
            return places.map {
                PartitionBacklog(
                    partition: $0.partition, position: $0.position,
                    end: max($0.end, fetchedEnd(of: $0.partition, reader)),
                    oldestAt: oldest[$0.partition])
            }
        }
    }
}

private func watermarks(
    of partition: TopicPartition, _ reader: ClientHandle, _ limit: Duration
) throws(KafkaError) -> (low: Int64, high: Int64) {
    var (low, high) = (Int64(0), Int64(0))
    let error = rd_kafka_query_watermark_offsets(
        reader.pointer, partition.topic, partition.partition, &low, &high, Int32(limit.milliseconds))
    guard error == RD_KAFKA_RESP_ERR_NO_ERROR else {
        throw KafkaError(error, while: "asking for the end of \(partition)")
    }
    return (low, high)
}

/// The partition's end as a fetch has told it; -1 where none was fetched.
private func fetchedEnd(of partition: TopicPartition, _ reader: ClientHandle) -> Int64 {
    var (low, high) = (Int64(-1), Int64(-1))
    let error = rd_kafka_get_watermark_offsets(reader.pointer, partition.topic, partition.partition, &low, &high)
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ? high : -1
}

/// The times of the records at `offsets`, as far as the broker hands them out within `limit`.
private func oldestRecords(
    _ offsets: [TopicPartition: Int64], _ reader: ClientHandle, _ limit: Duration
) -> [TopicPartition: Date] {
    guard !offsets.isEmpty else { return [:] }
    let list = PartitionList(offsets: offsets)
    guard rd_kafka_assign(reader.pointer, list.pointer) == RD_KAFKA_RESP_ERR_NO_ERROR else { return [:] }
    defer { rd_kafka_assign(reader.pointer, nil) }
    var found: [TopicPartition: Date] = [:]
    let deadline = ContinuousClock.now + limit
    while found.count < offsets.count, ContinuousClock.now < deadline {
        guard let message = rd_kafka_consumer_poll(reader.pointer, 50) else { continue }
        defer { rd_kafka_message_destroy(message) }
        guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR, let topic = message.pointee.rkt else { continue }
        let partition = TopicPartition(
            topic: String(cString: rd_kafka_topic_name(topic)), partition: message.pointee.partition)
        guard found[partition] == nil else { continue }
        var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let milliseconds = rd_kafka_message_timestamp(message, &kind)
        found[partition] = Date(timeIntervalSince1970: Double(max(0, milliseconds)) / 1_000)
    }
    return found
}
