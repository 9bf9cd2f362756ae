import CXGBoost
import Glibc

/// A thread of its own for calls that block for seconds: Swift's pool has one thread a core, and a blocked one stops
/// heartbeats and health answers.
public enum LibraryThread {
    /// Runs `body` on a new thread and waits for it without blocking the caller's.
    ///
    /// `body` asks `isCancelled` when it can stop; cancelling the calling task sets it.
    public static func run<R: Sendable>(
        _ body: @escaping @Sendable (_ cancellation: Cancellation) throws -> R
    ) async throws -> R {
        let cancellation = Cancellation()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                start {
                    let result = Result { try body(cancellation) }
                    // A training frees its matrices in pieces that glibc keeps: a worker that idles for days afterwards
                    // held 120 MB instead of 60.
                    malloc_trim(0)
                    continuation.resume(with: result)
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
    }

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    private static func start(_ run: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        // Deep trees recurse in the library; 8 MB is what a main thread has.
        pthread_attr_setstacksize(&attributes, 8 << 20)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { context in
                guard let context else { return nil }
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(Body(run)).toOpaque())
        precondition(status == 0, "no thread could be started (\(status))")
    }
}
