import Foundation

/// One partition of one topic.
public struct TopicPartition: Hashable, Sendable, CustomStringConvertible {
    /// The topic's name.
    public let topic: String
    /// The partition's number, from 0.
    public let partition: Int32

    /// Names partition number `partition` of `topic`.
    public init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    /// The usual short form: `new-data[2]`.
    public var description: String { "\(topic)[\(partition)]" }
}

/// One record as the broker delivered it. Bytes only: what they mean is for others to say.
public struct KafkaRecord: Sendable {
    /// The topic it came from.
    public let topic: String
    /// The partition it came from.
    public let partition: Int32
    /// Its place in the partition.
    public let offset: Int64
    /// The record's time in milliseconds' precision; the producer's clock, or the broker's, as the topic is set up.
    public let timestamp: Date
    /// The key; nil where the producer gave none.
    public let key: [UInt8]?
    /// The body; empty for a tombstone.
    public let value: [UInt8]
    /// The headers in the producer's order; a name may occur more than once.
    public let headers: [(name: String, value: [UInt8])]

    /// Makes a record, for tests and for those who replay.
    public init(
        topic: String, partition: Int32, offset: Int64, timestamp: Date, key: [UInt8]?, value: [UInt8],
        headers: [(name: String, value: [UInt8])]
    ) {
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.value = value
        self.headers = headers
    }
}

/// One message to be produced.
public struct KafkaMessage: Sendable {
    /// The topic to send to.
    public let topic: String
    /// The key, which decides the partition; nil spreads messages at random.
    public let key: [UInt8]?
    /// The body.
    public let value: [UInt8]
    /// The headers, in this order.
    public let headers: [(name: String, value: [UInt8])]

    /// Makes a message.
    public init(topic: String, key: [UInt8]?, value: [UInt8], headers: [(name: String, value: [UInt8])] = []) {
        self.topic = topic
        self.key = key
        self.value = value
        self.headers = headers
    }
}

/// The partition that Java's default partitioner, and therefore ours (`murmur2_random`), chooses for a key.
public enum KafkaPartitioner {
    /// The partition of `key` among `partitions` (at least 1).
    public static func partition(of key: [UInt8], partitions: Int32) -> Int32 {
        precondition(partitions > 0, "a topic has at least one partition")
        return Int32(murmur2(key) & 0x7fff_ffff) % partitions
    }

    /// MurmurHash2, 32 bits, with the seed of Kafka's Java client.
    ///
    /// Source: `org.apache.kafka.common.utils.Utils.murmur2`.
    static func murmur2(_ data: [UInt8]) -> UInt32 {
        let multiplier: UInt32 = 0x5bd1_e995
        var hash: UInt32 = 0x9747_b28c ^ UInt32(truncatingIfNeeded: data.count)
        var index = 0
        while index + 4 <= data.count {
            var block =
                UInt32(data[index]) | UInt32(data[index + 1]) << 8 | UInt32(data[index + 2]) << 16
                | UInt32(data[index + 3]) << 24
            block &*= multiplier
            block ^= block >> 24
            block &*= multiplier
            hash &*= multiplier
            hash ^= block
            index += 4
        }
        let rest = data.count - index
        if rest >= 3 { hash ^= UInt32(data[index + 2]) << 16 }
        if rest >= 2 { hash ^= UInt32(data[index + 1]) << 8 }
        if rest >= 1 {
            hash ^= UInt32(data[index])
            hash &*= multiplier
        }
        hash ^= hash >> 13
        hash &*= multiplier
        hash ^= hash >> 15
        return hash
    }
}
