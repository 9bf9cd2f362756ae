// One listening connection a worker: NOTIFY only wakes, and each second everyone looks anyway.

import NauraPostgres
import ServiceLifecycle
import Synchronization

/// Hands notifications, reconnections and a tick each second to whoever waits for them.
public final class Wakeups: Service {
    private struct Subscriber { let channels: Set<String>; let payload: Set<String>?; let signal: Signal }

    private let database: Database
    private let channels: [String]
    private let subscribers = Mutex<[Subscriber]>([])

    init(database: Database, channels: [String]) {
        self.database = database
        self.channels = channels
    }

    /// A signal at each notification on one of `channels` (with one of `payloads`, when given), at each tick and after
    /// each reconnection.
    func subscribe(to channels: Set<String>, payloads: Set<String>? = nil) -> Signal {
        let signal = Signal()
        subscribers.withLock {
            $0.append(Subscriber(channels: channels, payload: payloads, signal: signal))
        }
        return signal
    }

    /// Ends a subscription.
    func unsubscribe(_ signal: Signal) { subscribers.withLock { $0.removeAll { $0.signal === signal } } }

    public func run() async throws {
        for await notice in database.listen(channels).cancelOnGracefulShutdown() {
            let signals = subscribers.withLock { subscribers in
                subscribers.filter { subscriber in
                    guard case .notified(let channel, let payload) = notice else { return true }
                    return subscriber.channels.contains(channel) && (subscriber.payload?.contains(payload) ?? true)
                }.map(\.signal)
            }
            for signal in signals { signal.send() }
        }
        // Whoever still waits must see that the worker is stopping.
        for subscriber in subscribers.withLock({ $0 }) { subscriber.signal.send() }
    }
}
