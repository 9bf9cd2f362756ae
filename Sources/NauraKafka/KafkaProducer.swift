import CRDKafka
import Logging
import Synchronization

/// Sends messages, each at least once and, within one client's life, exactly once and in order (idempotent, acks=all).
///
/// A key's partition is the one that Java's client chooses (`murmur2_random`). The buffer is bounded: ``send(_:)`` waits
/// for room, ``post(_:)`` refuses, ``sendBuffered(_:)`` drops and counts. When all brokers are lost, the messages on
/// their way fail as transient at once, for whoever keeps them to send them again, and the next ones travel with a new
/// client, which waits for a broker.
public final class KafkaProducer: Sendable {
    /// How soon a client lets its messages go.
    private enum Pace {
        /// At once, or after the configured linger.
        case prompt
        /// After a millisecond, so that a batch travels in a few requests. Sent at once, its first messages fill the five
        /// requests that may be under way, and librdkafka spins until one of them is answered: a tenth of a worker's time.
        case bulk
    }

    private struct State {
        /// One a pace, made when it is first needed.
        var clients: [Pace: ProducerLoop] = [:]
        var isClosed = false
    }

    /// From so many messages on ``send(_:)`` goes at the pace of bulk.
    private static let bulkMessagesMin = 64

    private let configuration: KafkaConfiguration
    private let logger: Logger
    private let room: ProducerRoom
    private let state: Mutex<State>

    /// Starts a producer; the broker need not be there yet.
    ///
    /// - Throws: ``KafkaError`` `configuration` when librdkafka refuses a setting.
    public init(configuration: KafkaConfiguration, logger: Logger = Logger(label: "naura.kafka")) throws(KafkaError) {
        self.configuration = configuration
        self.logger = logger
        room = ProducerRoom(
            messagesMax: configuration.bufferMessagesMax, bytesMax: configuration.bufferKilobytesMax * 1_024)
        let client = try ProducerLoop(settings: configuration.producerSettings(), room: room, logger: logger)
        state = Mutex(State(clients: [.prompt: client]))
        client.start()
    }

    deinit { for client in state.withLock(\.clients).values { client.requestEnd(within: .zero) } }

    /// Sends `messages` in order and waits until all are acknowledged.
    ///
    /// Waits for room in the buffer first. Two calls that overlap have no order between them; use ``post(_:)`` where
    /// several batches are to be under way in order.
    ///
    /// - Throws: see ``KafkaDelivery/wait()``.
    public func send(_ messages: [KafkaMessage]) async throws {
        guard !messages.isEmpty else { return }
        let size = Self.size(of: messages)
        try await room.enter(messages: messages.count, bytes: size)
        try await handOver(messages, at: messages.count < Self.bulkMessagesMin ? .prompt : .bulk).wait()
    }

    /// Hands `messages` over in order without waiting for their delivery.
    ///
    /// - Throws: ``KafkaError`` `queue-full` when the buffer has no room for all of them (none is sent then), `closed`.
    public func post(_ messages: [KafkaMessage]) throws(KafkaError) -> KafkaDelivery {
        guard room.tryEnter(messages: messages.count, bytes: Self.size(of: messages)) else {
            throw KafkaError(.queueFull, "no room for \(messages.count) messages", isTransient: true)
        }
        return try handOver(messages)
    }

    /// Sends messages whose loss may be borne, without waiting: each is dropped and counted when the buffer is full, or
    /// when its delivery fails later.
    ///
    /// - Returns: how many were dropped at once.
    @discardableResult
    public func sendBuffered(_ messages: [KafkaMessage]) -> Int {
        var dropped = 0
        for message in messages {
            guard room.tryEnter(messages: 1, bytes: Self.size(of: [message])) else {
                room.countDrop()
                dropped += 1
                continue
            }
            do {
                // The loop counts a failed delivery as a drop; nobody waits for it.
                _ = try handOver([message], isDroppable: true)
            } catch {
                dropped += 1
                logger.debug("telemetry dropped", metadata: ["error": "\(error)"])
            }
        }
        return dropped
    }

    /// What was sent, delivered, failed and dropped since the start.
    public var statistics: KafkaProducerStatistics { room.statistics }

    /// The id of the cluster that answers; nil before its first answer.
    public var clusterID: String? { state.withLock(\.clients)[.prompt]?.clusterID }

    /// Waits until nothing is on its way any more, or for `limit`; true if all is out.
    public func flush(within limit: Duration = .seconds(10)) async -> Bool {
        await room.waitUntilEmpty(atMost: limit)
    }

    /// Flushes, then ends the client; what is undelivered after `limit` fails as transient.
    ///
    /// Comes back shortly after `limit` at the latest, also when librdkafka hangs.
    public func close(within limit: Duration = .seconds(10)) async {
        let clients = state.withLock { state in
            state.isClosed = true
            defer { state.clients = [:] }
            return state.clients.values
        }
        for client in clients { client.requestEnd(within: limit) }
        for client in clients { await client.waitForEnd(within: limit) }
    }

    private static func size(of messages: [KafkaMessage]) -> Int {
        messages.reduce(0) { $0 + $1.value.count + ($1.key?.count ?? 0) + 64 }
    }

    /// Puts messages for which there is room into librdkafka's queue.
    private func handOver(
        _ messages: [KafkaMessage], at pace: Pace = .prompt, isDroppable: Bool = false
    ) throws(KafkaError) -> KafkaDelivery {
        let delivery = KafkaDelivery(count: messages.count)
        let client: ProducerLoop
        do {
            client = try current(pace)
        } catch {
            room.leave(
                messages: messages.count, bytes: Self.size(of: messages), failed: isDroppable ? 0 : messages.count,
                dropped: isDroppable ? messages.count : 0)
            throw error
        }
        client.produce(messages, delivery, isDroppable: isDroppable)
        return delivery
    }

    /// The client to use: a new one where the last has died.
    private func current(_ pace: Pace) throws(KafkaError) -> ProducerLoop {
        let result: Result<ProducerLoop, KafkaError> = state.withLock { state in
            if state.isClosed { return .failure(KafkaError(.closed, "the producer is closed")) }
            let last = state.clients[pace]
            if let last, !last.isBroken { return .success(last) }
            do throws(KafkaError) {
                let settings = configuration.producerSettings(lingersAtLeast: pace == .bulk ? .milliseconds(1) : .zero)
                let client = try ProducerLoop(settings: settings, room: room, logger: logger)
                client.start()
                if last != nil { logger.debug("a new producer takes over from one that lost its brokers") }
                state.clients[pace] = client
                return .success(client)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

/// Counts of a producer since its start.
public struct KafkaProducerStatistics: Sendable, Equatable {
    /// Messages handed to ``KafkaProducer``.
    public var accepted = 0
    /// Messages that the broker acknowledged.
    public var delivered = 0
    /// Messages that failed and whose sender was told.
    public var failed = 0
    /// Messages of ``KafkaProducer/sendBuffered(_:)`` that were lost.
    public var dropped = 0
    /// Messages on their way now.
    public var underWay = 0
}
