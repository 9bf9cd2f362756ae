import Foundation
import Synchronization

/// Lets a cancelled task wake the thread that waits for the server on its behalf.
///
/// Each operation of a connection has a number; cancelling names it, so that a cancellation that comes late
/// never hits the operation after.
final class Cancellation: Sendable {
    /// The end of the pipe that the waiting thread polls.
    let wakeDescriptor: Int32
    private let writeDescriptor: Int32
    private let state = Mutex(State())

    private struct State {
        var current: UInt64 = 0
        var cancelled: Set<UInt64> = []
    }

    init() {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "no descriptor is left for a pipe")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (wakeDescriptor, writeDescriptor) = (ends[0], ends[1])
    }

    deinit {
        close(wakeDescriptor)
        close(writeDescriptor)
    }

    /// Cancels the operation `number`, now or when it begins.
    func cancel(_ number: UInt64) {
        state.withLock { _ = $0.cancelled.insert(number) }
        var byte: UInt8 = 1
        // A full pipe wakes the reader just as well.
        _ = write(writeDescriptor, &byte, 1)
    }

    /// Begins the operation `number`; nil is one that cannot be cancelled.
    func begin(_ number: UInt64?) throws {
        let isCancelled = state.withLock { state in
            state.current = number ?? 0
            return number.map(state.cancelled.contains) ?? false
        }
        if isCancelled { throw CancellationError() }
    }

    /// Forgets the operation `number`, which has ended.
    func end(_ number: UInt64) { state.withLock { _ = $0.cancelled.remove(number) } }

    /// Empties the pipe and says whether the current operation was cancelled.
    func takeIsCancelled() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(wakeDescriptor, &bytes, bytes.count) > 0 {}
        return state.withLock { $0.current != 0 && $0.cancelled.contains($0.current) }
    }
}
