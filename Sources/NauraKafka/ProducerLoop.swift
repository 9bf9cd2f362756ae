import CRDKafka
import Foundation
import Logging
import Synchronization

/// One librdkafka producer and the thread that takes its delivery reports.
final class ProducerLoop: Sendable {
    /// Travels with each message as librdkafka's opaque pointer, and comes back with the report.
    private final class Ticket: Sendable {
        let delivery: KafkaDelivery
        let isDroppable: Bool
        init(delivery: KafkaDelivery, isDroppable: Bool) {
            self.delivery = delivery
            self.isDroppable = isDroppable
        }
    }

    private struct State {
        /// The queue of delivery reports, and by it the client; nil once nothing can be handed over any more.
        var queue: QueueHandle?
        /// Calls that are handing messages over now; the thread does not end while there are any.
        var handingOver = 0
        var tickets: [ObjectIdentifier: Ticket] = [:]
        var isBroken = false
        var endDeadline: ContinuousClock.Instant?
        var faultsTold: Set<KafkaError.Code> = []
    }

    private let state: Mutex<State>
    private let room: ProducerRoom
    private let logger: Logger
    private let ended = Latch()
    private let destroyed: Latch
    private let clock = ContinuousClock()

    init(settings: [(String, String)], room: ProducerRoom, logger: Logger) throws(KafkaError) {
        let client = try ClientHandle(RD_KAFKA_PRODUCER, settings: settings, events: RD_KAFKA_EVENT_DR)
        destroyed = client.destroyed
        state = Mutex(State(queue: QueueHandle(rd_kafka_queue_get_main(client.pointer), of: client)))
        self.room = room
        self.logger = logger
    }

    /// Whether librdkafka has given the client up.
    var isBroken: Bool { state.withLock { $0.isBroken || $0.queue?.client.hasLostBrokers != false } }

    var clusterID: String? { state.withLock(\.queue)?.client.clusterID }

    func start() {
        let thread = Thread { self.run() }
        thread.name = "naura-producer"
        thread.start()
    }

    /// Hands messages to librdkafka; each one's outcome goes to `delivery`, be it at once.
    func produce(_ messages: [KafkaMessage], _ delivery: KafkaDelivery, isDroppable: Bool) {
        let ticket = Ticket(delivery: delivery, isDroppable: isDroppable)
        let client: ClientHandle? = state.withLock { state in
            guard let client = state.queue?.client else { return nil }
            state.handingOver += 1
            state.tickets[ObjectIdentifier(ticket)] = ticket
            return client
        }
        guard let client else {
            let error = KafkaError(.closed, "the producer ended meanwhile", isTransient: true)
            for message in messages { settle(message, delivery, isDroppable, error) }
            delivery.decide()
            return
        }
        defer {
            state.withLock { $0.handingOver -= 1 }
            // The extra count of the delivery, which kept it open until all were handed over.
            decide(ticket, 1, error: nil)
        }
        for (index, message) in messages.enumerated() {
            let error = hand(message, ticket, to: client)
            guard error != RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            // One refusal ends the batch: sending what follows would break its order.
            let cause = KafkaError(error, while: "producing to \(message.topic)")
            for rest in messages[index...] { settle(rest, delivery, isDroppable, cause) }
            return
        }
    }

    /// Lets the thread end when all messages are out, or after `limit`.
    func requestEnd(within limit: Duration) {
        let queue = state.withLock { state in
            if state.endDeadline == nil { state.endDeadline = clock.now + limit }
            return state.queue
        }
        queue?.wake()
    }

    func waitForEnd(within limit: Duration) async {
        guard await ended.wait(atMost: limit + .seconds(2)) else { return }
        if await !destroyed.wait(atMost: .seconds(2)) { logger.warning("librdkafka does not end; left behind") }
    }

    private static func size(_ message: KafkaMessage) -> Int {
        message.value.count + (message.key?.count ?? 0) + 64
    }

    private func decide(_ ticket: Ticket, _ count: Int, error: KafkaError?) {
        if ticket.delivery.decide(count, error: error) {
            state.withLock { $0.tickets[ObjectIdentifier(ticket)] = nil }
        }
    }

    private func settle(_ message: KafkaMessage, _ delivery: KafkaDelivery, _ isDroppable: Bool, _ error: KafkaError) {
        room.leave(
            messages: 1, bytes: Self.size(message), failed: isDroppable ? 0 : 1, dropped: isDroppable ? 1 : 0)
        delivery.decide(error: error)
    }

    private func hand(_ message: KafkaMessage, _ ticket: Ticket, to client: ClientHandle) -> rd_kafka_resp_err_t {
        let opaque = Unmanaged.passRetained(ticket)
        let headers = Self.headers(message.headers)
        let error: rd_kafka_resp_err_t = message.topic.withCString { topic in
            message.value.withUnsafeBytes { value in
                withKey(message.key) { key in
                    var fields = [rd_kafka_vu_t](repeating: rd_kafka_vu_t(), count: headers == nil ? 5 : 6)
                    fields[0].vtype = RD_KAFKA_VTYPE_TOPIC
                    fields[0].u.cstr = topic
                    fields[1].vtype = RD_KAFKA_VTYPE_VALUE
                    fields[1].u.mem.ptr = UnsafeMutableRawPointer(mutating: value.baseAddress)
                    fields[1].u.mem.size = value.count
                    fields[2].vtype = RD_KAFKA_VTYPE_KEY
                    fields[2].u.mem.ptr = UnsafeMutableRawPointer(mutating: key?.baseAddress)
                    fields[2].u.mem.size = key?.count ?? 0
                    fields[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS
                    fields[3].u.i = RD_KAFKA_MSG_F_COPY
                    fields[4].vtype = RD_KAFKA_VTYPE_OPAQUE
                    fields[4].u.ptr = opaque.toOpaque()
                    if let headers {
                        fields[5].vtype = RD_KAFKA_VTYPE_HEADERS
                        fields[5].u.headers = headers
                    }
                    guard let failure = rd_kafka_produceva(client.pointer, &fields, fields.count) else {
                        return RD_KAFKA_RESP_ERR_NO_ERROR
                    }
                    defer { rd_kafka_error_destroy(failure) }
                    return rd_kafka_error_code(failure)
                }
            }
        }
        if error != RD_KAFKA_RESP_ERR_NO_ERROR {
            // Only after success do headers and opaque belong to librdkafka.
            if let headers { rd_kafka_headers_destroy(headers) }
            opaque.release()
        }
        return error
    }

    private func withKey<R>(_ key: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
        guard let key else { return body(nil) }
        // An empty array may have no address, and librdkafka takes a null pointer for no key.
        if key.isEmpty { return withUnsafeBytes(of: UInt8(0)) { body(UnsafeRawBufferPointer(rebasing: $0[..<0])) } }
        return key.withUnsafeBytes { body($0) }
    }

    private static func headers(_ headers: [(name: String, value: [UInt8])]) -> OpaquePointer? {
        guard !headers.isEmpty else { return nil }
        let list = rd_kafka_headers_new(headers.count)
        for (name, value) in headers {
            // -1 lets librdkafka measure the name; a null value would be a header without one.
            if value.isEmpty {
                rd_kafka_header_add(list, name, -1, "", 0)
            } else {
                _ = value.withUnsafeBytes { rd_kafka_header_add(list, name, -1, $0.baseAddress, $0.count) }
            }
        }
        return list
    }
}

// MARK: - The thread

extension ProducerLoop {
    private func run() {
        guard let queue = state.withLock(\.queue) else { return }
        let client = queue.client
        var isPurged = false
        while true {
            queue.poll(limit: 50) { handle($0) }
            // Not kept; `ConnectionDoor` says why.
            if client.hasLostBrokers { state.withLock { $0.isBroken = true } }
            let (deadline, isBroken) = state.withLock { ($0.endDeadline, $0.isBroken) }
            guard deadline != nil || isBroken else { continue }
            if endIfEmpty(client) { break }
            let isLate = deadline.map { clock.now >= $0 } ?? false
            if isPurged, let deadline, clock.now >= deadline + .seconds(1) { break }
            if (isBroken || isLate) && !isPurged {
                isPurged = true
                rd_kafka_purge(client.pointer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
            }
        }
        let left = state.withLock { state in
            state.queue = nil
            defer { state.tickets = [:] }
            return state.tickets
        }
        for ticket in left.values {
            ticket.delivery.abandon(KafkaError(.closed, "the producer was closed", isTransient: true))
        }
        ended.open()
    }

    /// Lets nobody hand over any more, if nothing is on its way.
    private func endIfEmpty(_ client: ClientHandle) -> Bool {
        state.withLock { state in
            guard state.handingOver == 0, rd_kafka_outq_len(client.pointer) == 0 else { return false }
            state.queue = nil
            return true
        }
    }

    private func handle(_ event: EventHandle) {
        switch event.type {
        case RD_KAFKA_EVENT_DR: reports(event)
        case RD_KAFKA_EVENT_LOG: event.log(to: logger)
        case RD_KAFKA_EVENT_ERROR:
            let error = KafkaError(event.error, while: event.errorText)
            if event.error == RD_KAFKA_RESP_ERR__FATAL { state.withLock { $0.isBroken = true } }
            guard state.withLock({ $0.faultsTold.insert(error.code).inserted }) else { return }
            logger.warning("producer has trouble", metadata: ["error": "\(error)"])
        default: break
        }
    }

    private func reports(_ event: EventHandle) {
        var messages = 0
        var bytes = 0
        var failed = 0
        var dropped = 0
        var outcomes: [(ticket: Ticket, count: Int, error: KafkaError?)] = []
        while let message = rd_kafka_event_message_next(event.pointer) {
            let raw = message.pointee
            messages += 1
            bytes += raw.len + (raw.key == nil ? 0 : raw.key_len) + 64
            guard let opaque = raw._private else { continue }
            let ticket = Unmanaged<Ticket>.fromOpaque(opaque).takeRetainedValue()
            if raw.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                if ticket.isDroppable { dropped += 1 } else { failed += 1 }
                outcomes.append((ticket, 1, KafkaError(raw.err, while: "delivering to the broker")))
            } else if let last = outcomes.last, last.ticket === ticket, last.error == nil {
                outcomes[outcomes.count - 1].count += 1
            } else {
                outcomes.append((ticket, 1, nil))
            }
        }
        room.leave(messages: messages, bytes: bytes, failed: failed, dropped: dropped)
        for outcome in outcomes { decide(outcome.ticket, outcome.count, error: outcome.error) }
        if messages > failed + dropped { state.withLock { $0.faultsTold = [] } }
    }
}
