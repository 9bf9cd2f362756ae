// Sends what a partition's transactions have said, in order, and remembers how far Kafka has acknowledged it.

import Logging
import NauraEvents
import NauraFailpoints
import NauraKafka
import NauraLedger
import NauraPostgres
import ServiceLifecycle
import Synchronization

/// The outgoing stream of one input partition, held by this process.
///
/// Rows go to the producer from memory, right after their commit. The cursor *sent* rides in the next transaction, or
/// is stored alone when the stream is idle; a crash in between sends again, and readers count it once.
final class PartitionRelay: Sendable {
    private struct State {
        var held: HeldStream
        var next: Int
        var sent: Int
        var stored: Int
        var queue: [OutboxRow] = []
        var isFinished = false
        var mustRetake = false
    }

    private let name: String
    private let context: LoopContext
    private let state: Mutex<State>
    private let work = Signal()
    private let room = Signal()

    init(name: String, context: LoopContext) {
        self.name = name
        self.context = context
        state = Mutex(State(held: .none, next: 1, sent: 0, stored: 0))
    }

    var held: HeldStream { state.withLock { $0.held } }

    /// Takes the stream and queues its unsent tail before anything new.
    func take() async throws {
        Failpoint.streamTaking.reach()
        let held = try await context.patiently {
            try await Streams.take(name, owner: context.instance, in: context.database)
        }
        Failpoint.streamTaken.reach()
        state.withLock {
            let isFinished = $0.isFinished
            $0 = State(held: held, next: held.next, sent: held.sent, stored: held.sent, isFinished: isFinished)
        }
        var last = held.sent
        while last < held.next - 1 {
            let after = last
            let rows = try await context.patiently {
                try await Outbox.rows(of: held.id, after: after, limit: 500, in: context.database)
            }
            guard let end = rows.last?.number else { break }
            try await deliver(rows)
            Failpoint.streamTailSent.reach()
            last = end
        }
        // Rows past retention are gone; the cursor skips them.
        state.withLock {
            $0.sent = max($0.sent, held.next - 1)
        }
    }

    /// Writes what `batch` has said and filed, as the last statements of its transaction. Returns the numbered rows.
    func append(_ batch: Batch) async throws -> [OutboxRow] {
        let (held, next, sent) = state.withLock { ($0.held, $0.next, $0.sent) }
        try await Jobs.file(batch.outgoing.jobs, in: batch.transaction)
        let events = batch.outgoing.events
        try await Outbox.append(events, to: held, first: next, sent: sent, in: batch.transaction)
        return events.enumerated().map { OutboxRow(number: next + $0.offset, event: $0.element) }
    }

    /// Takes over the rows of a transaction that has committed.
    func enqueue(_ rows: [OutboxRow]) {
        guard let last = rows.last else { return }
        state.withLock {
            $0.next = last.number + 1
            $0.queue += rows
        }
        work.send()
    }

    /// Waits until the unsent rows are few enough for another batch.
    func waitForRoom() async throws {
        while state.withLock({ $0.queue.count > context.settings.unsentEventsMax }) {
            try Task.checkCancellation()
            await room.wait()
        }
    }

    /// Has ``run()`` take the stream again before it sends anything more.
    func retake() {
        state.withLock { $0.mustRetake = true }
        work.send()
    }

    /// No more rows will come; ``run()`` ends when all are sent.
    func finish() {
        state.withLock { $0.isFinished = true }
        work.send()
    }

    /// Sends rows until ``finish()``.
    func run() async throws {
        while true {
            if state.withLock({ $0.mustRetake }) { try await take() }
            let (rows, isFinished) = state.withLock { state in
                let rows = state.queue
                state.queue = []
                return (rows, state.isFinished)
            }
            if rows.isEmpty {
                try await storeCursor()
                if isFinished { return }
                await work.wait()
                try Task.checkCancellation()
                continue
            }
            try await deliver(rows)
            room.send()
        }
    }

    /// Gives the stream back in order.
    func release() async throws {
        let (held, sent) = state.withLock { ($0.held, $0.sent) }
        Failpoint.streamReleasing.reach()
        try await context.patiently {
            try await Streams.release(held.id, epoch: held.epoch, sent: sent, in: context.database)
        }
        Failpoint.streamReleased.reach()
    }

    private func deliver(_ rows: [OutboxRow]) async throws {
        guard let last = rows.last else { return }
        Failpoint.outboxSending.reach()
        try await context.producer.deliver(rows.map(\.event), logger: context.logger)
        Failpoint.outboxAcknowledged.reach()
        state.withLock { $0.sent = max($0.sent, last.number) }
    }

    private func storeCursor() async throws {
        let (held, sent, stored) = state.withLock { ($0.held, $0.sent, $0.stored) }
        guard sent > stored else { return }
        Failpoint.cursorStoring.reach()
        do {
            _ = try await Streams.mark(held.id, epoch: held.epoch, sent: sent, in: context.database)
            Failpoint.cursorStored.reach()
            state.withLock { $0.stored = max($0.stored, sent) }
        } catch {
            // The cursor is only a hint: what it does not know is sent again, and counted once.
            guard case .transient = Failure(error) else { throw error }
            context.logger.debug("the cursor was not stored", metadata: ["stream": "\(name)"])
        }
    }
}

extension KafkaMessage {
    /// `event` in binary mode: on the topic of its type, keyed by its subject.
    init(_ event: EncodedEvent) {
        self.init(
            topic: event.envelope.type.rawValue, key: Array(event.envelope.subject.utf8), value: event.body,
            headers: event.headers)
    }
}

extension KafkaProducer {
    /// Sends `events` in order and returns when Kafka has acknowledged them all; waits for a broker that is away.
    func deliver(_ events: [EncodedEvent], logger: Logger) async throws {
        let messages = events.map(KafkaMessage.init)
        while true {
            do {
                try await send(messages)
                return
            } catch let error as KafkaError where error.isTransient {
                logger.warning("waiting for the broker", metadata: ["error": "\(error)"])
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }
}

/// A level-triggered wake-up: signals sent while nobody waits are kept, as one.
final class Signal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func send() { continuation.yield() }

    /// Returns at the next signal, or when the task is cancelled. One waiter at a time.
    func wait() async {
        var iterator = stream.makeAsyncIterator()
        await iterator.next()
    }

    /// The same for a service that ends with the worker: returns at once when the worker is told to stop.
    func waitWhileRunning() async {
        await withGracefulShutdownHandler {
            await wait()
        } onGracefulShutdown: {
            self.send()
        }
    }
}
