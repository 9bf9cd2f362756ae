import Synchronization

/// The fate of messages that were handed to a producer together.
public final class KafkaDelivery: Sendable {
    private struct State {
        var open: Int
        var error: KafkaError?
        var waiters: [Int: CheckedContinuation<Void, any Error>] = [:]
        var numbers = 0
    }

    /// One more than the messages on their way, so that it cannot end before all are handed over.
    private let state: Mutex<State>

    init(count: Int) { state = Mutex(State(open: count + 1)) }

    /// Waits until each message is acknowledged by all replicas in sync, or has failed.
    ///
    /// - Throws: the first failure, after all have an outcome: ``KafkaError``; a transient one means that some may have
    ///   arrived all the same, and that sending all of them again is right for readers that count an event once.
    ///   `CancellationError` when the task is cancelled; the outcome stays open then.
    public func wait() async throws {
        let number = state.withLock { state in
            state.numbers += 1
            return state.numbers
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    if state.open == 0 { return state.error.map { .failure($0) } ?? .success(()) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[number] = continuation
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume(throwing: CancellationError())
        }
    }

    /// Whether each message has an outcome.
    public var isDecided: Bool { state.withLock { $0.open == 0 } }

    /// Notes outcomes: `count` more messages are decided, the first failure among them being `error`.
    ///
    /// - Returns: whether all are decided now.
    @discardableResult
    func decide(_ count: Int = 1, error: KafkaError? = nil) -> Bool {
        let done: State? = state.withLock { state in
            // After `abandon` late outcomes find nothing open any more.
            state.open = max(0, state.open - count)
            if state.error == nil { state.error = error }
            guard state.open == 0 else { return nil }
            defer { state.waiters = [:] }
            return state
        }
        guard let done else { return false }
        for waiter in done.waiters.values {
            if let error = done.error { waiter.resume(throwing: error) } else { waiter.resume() }
        }
        return true
    }

    /// Ends the waiting for outcomes that will not come.
    func abandon(_ error: KafkaError) { decide(Int.max, error: error) }
}
