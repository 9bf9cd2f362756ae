import Synchronization

/// A flag that a task sets and a blocking thread reads.
public final class Cancellation: Sendable {
    private let flag = Atomic(false)

    /// A flag that is not set.
    public init() {}

    /// True once ``cancel()`` was called.
    public var isCancelled: Bool { flag.load(ordering: .relaxed) }

    /// Sets the flag.
    public func cancel() { flag.store(true, ordering: .relaxed) }

    /// - Throws: `CancellationError` once the flag is set.
    public func check() throws {
        if isCancelled { throw CancellationError() }
    }
}
