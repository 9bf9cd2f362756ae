import Synchronization

/// The bounded buffer of a producer: who may hand over messages, and who waits.
final class ProducerRoom: Sendable {
    private struct Waiter {
        let messages: Int
        let bytes: Int
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var bytes = 0
        var statistics = KafkaProducerStatistics()
        var queue: [(number: Int, waiter: Waiter)] = []
        var numbers = 0
        var empty: Latch?
    }

    private let messagesMax: Int
    private let bytesMax: Int
    private let state = Mutex(State())

    init(messagesMax: Int, bytesMax: Int) {
        self.messagesMax = messagesMax
        self.bytesMax = bytesMax
    }

    var statistics: KafkaProducerStatistics { state.withLock(\.statistics) }

    /// Takes room for a batch, first come first served. A batch larger than the whole buffer travels alone.
    func enter(messages: Int, bytes: Int) async throws {
        let number = state.withLock { state in
            state.numbers += 1
            return state.numbers
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.queue.isEmpty, take(messages, bytes, &state) { return .success(()) }
                    let waiter = Waiter(messages: messages, bytes: bytes, continuation: continuation)
                    state.queue.append((number, waiter))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.queue.firstIndex { $0.number == number }.map { state.queue.remove(at: $0).waiter }
            }
            waiter?.continuation.resume(throwing: CancellationError())
            admit()
        }
    }

    func tryEnter(messages: Int, bytes: Int) -> Bool {
        state.withLock { $0.queue.isEmpty && take(messages, bytes, &$0) }
    }

    /// Gives room back for messages that have an outcome.
    func leave(messages: Int, bytes: Int, failed: Int = 0, dropped: Int = 0) {
        let empty: Latch? = state.withLock { state in
            state.statistics.underWay -= messages
            state.statistics.delivered += messages - failed - dropped
            state.statistics.failed += failed
            state.statistics.dropped += dropped
            state.bytes -= bytes
            guard state.statistics.underWay == 0 else { return nil }
            defer { state.empty = nil }
            return state.empty
        }
        empty?.open()
        admit()
    }

    func countDrop() { state.withLock { $0.statistics.dropped += 1 } }

    func waitUntilEmpty(atMost limit: Duration) async -> Bool {
        let latch: Latch? = state.withLock { state in
            if state.statistics.underWay == 0 { return nil }
            let latch = state.empty ?? Latch()
            state.empty = latch
            return latch
        }
        guard let latch else { return true }
        return await latch.wait(atMost: limit)
    }

    private func take(_ messages: Int, _ bytes: Int, _ state: inout State) -> Bool {
        let isFree = state.statistics.underWay == 0
        let fits = state.statistics.underWay + messages <= messagesMax && state.bytes + bytes <= bytesMax
        guard isFree || fits else { return false }
        state.statistics.underWay += messages
        state.statistics.accepted += messages
        state.bytes += bytes
        return true
    }

    private func admit() {
        let admitted = state.withLock { state in
            var count = 0
            while count < state.queue.count,
                take(state.queue[count].waiter.messages, state.queue[count].waiter.bytes, &state)
            { count += 1 }
            defer { state.queue.removeFirst(count) }
            return state.queue[..<count].map(\.waiter.continuation)
        }
        for continuation in admitted { continuation.resume() }
    }
}
