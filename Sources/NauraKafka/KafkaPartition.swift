import CRDKafka
import Foundation
import Synchronization

/// One partition while this consumer holds it: a bounded backlog, read in order by one reader.
///
/// Records wait in a queue of librdkafka's own. When it is full, librdkafka asks the broker for no more of this
/// partition until there is room; that is a property of the queue and survives rebalances, unlike a call of *pause*.
/// Other partitions go on meanwhile. A partition that is revoked and comes back is a new object.
public final class KafkaPartition: Sendable {
    private struct Waiting {
        var isOver = false
        var isSignalled = false
        var reader: CheckedContinuation<Void, Never>?
    }

    /// Which partition this is.
    public let topicPartition: TopicPartition
    /// The cluster that gave it to us; an offset must never be committed to another one.
    let clusterID: String?

    private let queue: Mutex<QueueHandle?>
    private let waiting = Mutex(Waiting())
    private let positions = Mutex(Positions())
    private let report: @Sendable (KafkaError) -> Void

    private struct Positions {
        var next: Int64?
        var committed: Int64?
        var isLost = false
    }

    /// Cuts the partition's queue off from the consumer's and begins to listen to it.
    ///
    /// Must happen before the partition is assigned: librdkafka leaves a queue alone that the application has
    /// forwarded, here to nowhere.
    ///
    /// - Parameter report: told what the broker says about this partition instead of records.
    init(
        _ partition: TopicPartition, of client: ClientHandle, report: @escaping @Sendable (KafkaError) -> Void
    ) throws(KafkaError) {
        guard let pointer = rd_kafka_queue_get_partition(client.pointer, partition.topic, partition.partition) else {
            throw KafkaError(.topicMissing, "no queue for \(partition)", isTransient: true)
        }
        topicPartition = partition
        self.report = report
        clusterID = client.clusterID
        rd_kafka_queue_forward(pointer, nil)
        queue = Mutex(QueueHandle(pointer, of: client))
        // Balanced by `detach`, which every partition meets at the end of its holding.
        rd_kafka_queue_cb_event_enable(
            pointer,
            { _, opaque in
                guard let opaque else { return }
                Unmanaged<KafkaPartition>.fromOpaque(opaque).takeUnretainedValue().signal()
            }, Unmanaged.passRetained(self).toOpaque())
    }

    /// The next records, in order: waits for at least one, then takes what is already there, up to `max`.
    ///
    /// - Returns: nil when the partition is revoked, the consumer closed or the task cancelled; there is nothing more
    ///   to come then.
    public func next(max: Int) async -> [KafkaRecord]? {
        precondition(max > 0, "a batch holds at least one record")
        while true {
            if Task.isCancelled || waiting.withLock({ $0.isOver }) { return nil }
            let records = take(max: max)
            if !records.isEmpty { return records }
            await wait()
        }
    }

    /// How many records wait in memory.
    public var backlog: Int {
        queue.withLock { $0 }.map { Int(rd_kafka_queue_length($0.pointer)) } ?? 0
    }

    /// Whether this consumer still has the partition; false after a revocation was acknowledged, or it was lost.
    public var isHeld: Bool {
        queue.withLock { $0 != nil } && !positions.withLock(\.isLost)
    }

    /// The offset of the oldest record that the broker keeps; nil until a fetch has told it.
    public var beginning: Int64? { watermarks?.low }

    /// The offset that the next record of the partition gets, as of the last fetch; nil until one has told it.
    public var end: Int64? { watermarks?.high }

    private var watermarks: (low: Int64, high: Int64)? {
        var low: Int64 = -1
        var high: Int64 = -1
        guard let queue = queue.withLock({ $0 }),
            rd_kafka_get_watermark_offsets(
                queue.client.pointer, topicPartition.topic, topicPartition.partition, &low, &high)
                == RD_KAFKA_RESP_ERR_NO_ERROR, high >= 0
        else { return nil }
        return (low, high)
    }

    /// Records behind: the broker's last known end of the partition less the next record to be read.
    ///
    /// nil until the broker has told both.
    var lag: Int64? {
        guard let (low, high) = watermarks else { return nil }
        return positions.withLock { positions in
            guard let start = positions.next ?? positions.committed else { return nil }
            return max(0, high - max(start, low))
        }
    }

    var needsStart: Bool { positions.withLock { $0.next == nil && $0.committed == nil } }

    /// Notes where the group stands; negative means that it has committed nothing here.
    func start(at committed: Int64) { positions.withLock { $0.committed = max(0, committed) } }

    /// Whether something later than `offset` was committed before; committing it would only lead back.
    func isBehind(_ offset: Int64) -> Bool {
        positions.withLock { ($0.committed ?? 0) > offset }
    }

    func committed(_ offset: Int64) {
        positions.withLock { $0.committed = max($0.committed ?? 0, offset) }
    }

    /// Ends reading: the reader gets nil; what it has in hand may still be finished and committed.
    func stop(lost: Bool) {
        if lost { positions.withLock { $0.isLost = true } }
        let reader = waiting.withLock { waiting in
            waiting.isOver = true
            defer { waiting.reader = nil }
            return waiting.reader
        }
        reader?.resume()
    }

    /// Lets go of the queue, at the end of the holding. Afterwards nothing may be committed.
    func detach() {
        stop(lost: true)
        guard let held = queue.withLock({ $0.take() }) else { return }
        // The library calls back while it holds the queue's lock, so no call is under way once this returns.
        rd_kafka_queue_cb_event_enable(held.pointer, nil, nil)
        Unmanaged.passUnretained(self).release()
    }

    private func signal() {
        let reader = waiting.withLock { waiting in
            waiting.isSignalled = waiting.reader == nil
            defer { waiting.reader = nil }
            return waiting.reader
        }
        reader?.resume()
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let mustGoOn = waiting.withLock { waiting in
                    precondition(waiting.reader == nil, "a partition has one reader")
                    if waiting.isOver || waiting.isSignalled || Task.isCancelled {
                        waiting.isSignalled = false
                        return true
                    }
                    waiting.reader = continuation
                    return false
                }
                if mustGoOn { continuation.resume() }
            }
        } onCancel: {
            signal()
        }
    }

    private func take(max: Int) -> [KafkaRecord] {
        guard let queue = queue.withLock({ $0 }) else { return [] }
        return withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<rd_kafka_message_t>?.self, capacity: max) {
            buffer in
            let count = rd_kafka_consume_batch_queue(queue.pointer, 0, buffer.baseAddress, max)
            guard count > 0 else { return [] }
            var records: [KafkaRecord] = []
            records.reserveCapacity(count)
            for message in buffer[..<count] {
                guard let message else { continue }
                if message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR {
                    records.append(record(message))
                } else {
                    report(KafkaError(message.pointee.err, while: "fetching \(topicPartition)"))
                }
                rd_kafka_message_destroy(message)
            }
            if let last = records.last { positions.withLock { $0.next = last.offset + 1 } }
            return records
        }
    }

    private func record(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> KafkaRecord {
        let raw = message.pointee
        var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let milliseconds = rd_kafka_message_timestamp(message, &kind)
        return KafkaRecord(
            topic: topicPartition.topic, partition: raw.partition, offset: raw.offset,
            timestamp: Date(timeIntervalSince1970: Double(max(0, milliseconds)) / 1_000),
            key: raw.key.map { Self.bytes($0, raw.key_len) }, value: Self.bytes(raw.payload, raw.len),
            headers: Self.headers(of: message))
    }

    private static func headers(
        of message: UnsafeMutablePointer<rd_kafka_message_t>
    ) -> [(name: String, value: [UInt8])] {
        var list: OpaquePointer?
        guard rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return [] }
        let count = rd_kafka_header_cnt(list)
        var headers: [(name: String, value: [UInt8])] = []
        headers.reserveCapacity(count)
        for index in 0..<count {
            var name: UnsafePointer<CChar>?
            var value: UnsafeRawPointer?
            var size = 0
            guard rd_kafka_header_get_all(list, index, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR, let name
            else { continue }
            headers.append((String(cString: name), bytes(value, size)))
        }
        return headers
    }

    private static func bytes(_ pointer: UnsafeRawPointer?, _ count: Int) -> [UInt8] {
        guard let pointer, count > 0 else { return [] }
        return [UInt8](UnsafeRawBufferPointer(start: pointer, count: count))
    }
}
