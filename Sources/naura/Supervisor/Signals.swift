import Dispatch
import Glibc

/// Signals as a stream of values: each is delivered once, none ends the process by itself any more.
enum Signals {
    /// The signals of `numbers` from now on, until the reader stops.
    static func stream(_ numbers: [Int32]) -> AsyncStream<Int32> {
        AsyncStream { continuation in
            let queue = DispatchQueue(label: "naura.signals")
            let sources = numbers.map { number in
                signal(number, number == SIGCHLD ? SIG_DFL : SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
                source.setEventHandler { continuation.yield(number) }
                source.resume()
                return source
            }
            let held = HeldSources(sources)
            continuation.onTermination = { _ in held.cancel() }
        }
    }
}

/// Keeps signal sources alive while their stream is read.
///
/// `@unchecked Sendable`: the list is never changed, and `cancel` of a dispatch source may be called from any thread.
private final class HeldSources: @unchecked Sendable {
    private let sources: [any DispatchSourceSignal]
    init(_ sources: [any DispatchSourceSignal]) { self.sources = sources }
    func cancel() { sources.forEach { $0.cancel() } }
}
