import CRDKafka
import Foundation
import Logging
import NauraProcess
import Synchronization

/// One librdkafka client (`rd_kafka_t`), ended when the last user lets go of it.
///
/// `@unchecked Sendable`: librdkafka is thread-safe throughout ("all rdkafka functions are thread safe",
/// its INTRODUCTION.md, *Threads and callbacks*), and the pointer never changes.
final class ClientHandle: @unchecked Sendable {
    let pointer: OpaquePointer
    /// Opens when librdkafka has ended all its threads.
    let destroyed = Latch()
    private let door = ConnectionDoor()
    private let name: String
    private let isLeaving = Atomic(false)

    /// Starts a client whose happenings of the kinds `events` arrive as events on its queues.
    init(_ type: rd_kafka_type_t, settings: [(String, String)], events: Int32) throws(KafkaError) {
        let configuration = rd_kafka_conf_new()
        var text = [CChar](repeating: 0, count: 512)
        for (key, value) in settings
        where rd_kafka_conf_set(configuration, key, value, &text, text.count) != RD_KAFKA_CONF_OK {
            rd_kafka_conf_destroy(configuration)
            // librdkafka's sentence repeats the value, which may be a secret: only the key is told.
            throw KafkaError(.configuration, "librdkafka refuses the value of `\(key)`")
        }
        // Tokens are renewed on a thread of librdkafka's own, not when somebody happens to poll.
        let hasTokens = settings.contains { $0 == ("sasl.mechanism", "OAUTHBEARER") }
        if hasTokens { rd_kafka_conf_enable_sasl_queue(configuration, 1) }
        door.install(in: configuration)
        rd_kafka_conf_set_events(configuration, events | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR)
        NativeCleanup.leaveToTheKernel()
        guard let pointer = rd_kafka_new(type, configuration, &text, text.count) else {
            rd_kafka_conf_destroy(configuration)
            door.uninstall()
            throw KafkaError(.configuration, "librdkafka does not start: \(Self.string(text))")
        }
        self.pointer = pointer
        self.name = settings.first { $0.0 == "client.id" }?.1 ?? "kafka"
        if hasTokens, let error = rd_kafka_sasl_background_callbacks_enable(pointer) { rd_kafka_error_destroy(error) }
        rd_kafka_set_log_queue(pointer, nil)
    }

    deinit {
        // Destroying waits for librdkafka's threads, and after a broker outage that can take for ever: it gets a
        // thread of its own, and whoever closes waits for `destroyed` with a limit.
        let address = UInt(bitPattern: pointer)
        let (door, destroyed) = (door, destroyed)
        let isLeaving = isLeaving.load(ordering: .acquiring)
        door.shut()
        let thread = Thread {
            let client = OpaquePointer(bitPattern: address)
            // A consumer whose last revocation nobody has answered would never end, its main thread turning at full speed.
            // Refused by a client that is no consumer, or holds nothing.
            _ = rd_kafka_assign(client, nil)
            // Nor would one that is destroyed while it waits for the answer to its leaving: librdkafka gives that up
            // after its `socket.timeout.ms`, and then closes the consumer.
            let deadline = ContinuousClock.now + .seconds(90)
            while isLeaving, rd_kafka_consumer_closed(client) == 0, ContinuousClock.now < deadline { usleep(10_000) }
            rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
            door.uninstall()
            destroyed.open()
        }
        thread.name = "\(name)-end"
        thread.start()
    }

    /// Has the consumer give up what it holds and leave its group; what remains to be answered arrives at `queue`.
    func leave(into queue: QueueHandle) {
        isLeaving.store(true, ordering: .releasing)
        if let error = rd_kafka_consumer_close_queue(pointer, queue.pointer) { rd_kafka_error_destroy(error) }
    }

    /// Whether the client has met a cluster and lost all its connections since. It will make no new one.
    ///
    /// To be asked now and then, since asking is also how the first meeting is noticed.
    var hasLostBrokers: Bool {
        if !door.isArmed, clusterID != nil { door.arm() }
        return door.isShut
    }

    /// The cluster id that the brokers last reported; nil before the first answer.
    var clusterID: String? {
        guard let text = rd_kafka_clusterid(pointer, 0) else { return nil }
        defer { rd_kafka_mem_free(pointer, text) }
        return String(cString: text)
    }

    private static func string(_ text: [CChar]) -> String {
        String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A reference to one of a client's queues; keeps the client alive, and ends with its last user.
///
/// `@unchecked Sendable`: queues are thread-safe like all of librdkafka, and the pointer never changes.
final class QueueHandle: @unchecked Sendable {
    let pointer: OpaquePointer
    let client: ClientHandle

    /// Takes over one reference to `pointer`.
    init(_ pointer: OpaquePointer, of client: ClientHandle) {
        self.pointer = pointer
        self.client = client
    }

    deinit { rd_kafka_queue_destroy(pointer) }

    /// Waits for the next event, up to `limit` milliseconds, and hands it to `body`.
    func poll(limit: Int32, _ body: (EventHandle) -> Void) {
        guard let event = rd_kafka_queue_poll(pointer, limit) else { return }
        body(EventHandle(pointer: event))
        rd_kafka_event_destroy(event)
    }

    /// Ends a ``poll(limit:_:)`` that waits on another thread.
    func wake() { rd_kafka_queue_yield(pointer) }
}

/// One event of a queue, lent for the duration of a call.
struct EventHandle {
    let pointer: OpaquePointer

    var type: Int32 { rd_kafka_event_type(pointer) }
    var error: rd_kafka_resp_err_t { rd_kafka_event_error(pointer) }
    var errorText: String { rd_kafka_event_error_string(pointer).map { String(cString: $0) } ?? "" }

    /// Passes a log event on to `logger`; librdkafka's levels are syslog's.
    func log(to logger: Logger) {
        var facility: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        var level: Int32 = 7
        guard rd_kafka_event_log(pointer, &facility, &text, &level) == 0, let text else { return }
        let name = facility.map { String(cString: $0) } ?? ""
        // A broker that is away makes a line at each attempt; the loops tell that once, at the change of state.
        let severity: Logger.Level = level <= 3 && name != "FAIL" && name != "ERROR" ? .warning : .debug
        logger.log(
            level: severity, "message of librdkafka",
            metadata: ["facility": "\(name)", "text": "\(String(cString: text))"])
    }
}

/// A list of partitions with offsets (`rd_kafka_topic_partition_list_t`), freed at its end.
struct PartitionList: ~Copyable {
    let pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

    init(_ partitions: some Collection<TopicPartition>) {
        pointer = rd_kafka_topic_partition_list_new(Int32(partitions.count))
        for one in partitions { rd_kafka_topic_partition_list_add(pointer, one.topic, one.partition) }
    }

    /// A list with the offsets to be committed: the next ones to read.
    init(offsets: [TopicPartition: Int64]) {
        pointer = rd_kafka_topic_partition_list_new(Int32(offsets.count))
        for (one, offset) in offsets {
            rd_kafka_topic_partition_list_add(pointer, one.topic, one.partition).pointee.offset = offset
        }
    }

    deinit { rd_kafka_topic_partition_list_destroy(pointer) }

    /// What stands in a list of librdkafka's.
    static func read(
        _ list: UnsafePointer<rd_kafka_topic_partition_list_t>?
    ) -> [(partition: TopicPartition, offset: Int64, error: rd_kafka_resp_err_t)] {
        guard let list else { return [] }
        return (0..<Int(list.pointee.cnt)).map { index in
            let one = list.pointee.elems[index]
            return (TopicPartition(topic: String(cString: one.topic), partition: one.partition), one.offset, one.err)
        }
    }
}
