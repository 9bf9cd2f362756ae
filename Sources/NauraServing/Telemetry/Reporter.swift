import Foundation
import NauraEvents
public import ServiceLifecycle

/// Publishes what the gateway has answered and seen: each 200 ms, at once when a batch is full or a canary gave a unit
/// its first bad answer, and once more at the end.
public struct Reporter: Service {
    private let gateway: Gateway
    private let sink: any ServingSink

    /// Publishes what `gateway` saw to `sink`.
    public init(_ gateway: Gateway, sink: any ServingSink) {
        self.gateway = gateway
        self.sink = sink
    }

    /// Runs until a graceful shutdown.
    public func run() async throws {
        let bell = gateway.reporterBell
        let period = gateway.configuration.reportEvery
        try await withThrowingTaskGroup(of: Void.self) { group in
            // A clock, not a wait: windows have a rate.
            group.addTask {
                try await cancelWhenGracefulShutdown {
                    while true {
                        try await ContinuousClock().sleep(for: period)
                        bell.ring()
                    }
                }
            }
            group.addTask { for await _ in bell.rings.cancelOnGracefulShutdown() { publish() } }
            do { try await group.waitForAll() } catch is CancellationError { group.cancelAll() }
        }
        publish()
    }

    /// Publishes what has gathered.
    public func publish() {
        let (now, date) = (ContinuousClock.now, Date())
        for telemetry in gateway.telemetries {
            let windows = telemetry.windows(
                gateway: gateway.configuration.name, boot: PredictionID.hex(gateway.boot), now: now, at: date)
            for window in windows { sink.publish(window) }
            for batch in telemetry.log.drain() { sink.publish(batch) }
        }
    }
}
