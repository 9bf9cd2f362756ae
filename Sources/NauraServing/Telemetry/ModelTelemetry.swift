import Foundation
import NauraEvents
import Synchronization

/// The telemetry of one model, which outlives its routes: numbers go on when the route changes.
final class ModelTelemetry: Sendable {
    /// Requests that began under a replaced route are counted in its windows for so long.
    static let retiredFor: Duration = .seconds(10)
    /// An empty window is sent when none was for so long.
    static let heartbeat: Duration = .seconds(1)

    private struct State {
        var current: CanaryObserver?
        var retired: [(observer: CanaryObserver, until: ContinuousClock.Instant)] = []
        var number: Int64 = 0
        var sentAt: ContinuousClock.Instant?
    }

    let model: ModelID
    let log: PredictionLog
    private let state = Mutex(State())

    init(model: ModelID, budget: RecordBudget) {
        self.model = model
        log = PredictionLog(model: model, budget: budget)
    }

    /// The observer of the route that is about to serve: the same one while its epoch stays.
    func observer(
        epoch: Int64, now: ContinuousClock.Instant, make: () -> CanaryObserver?
    ) -> CanaryObserver? {
        state.withLock { state in
            let made: CanaryObserver?
            if let current = state.current, current.epoch == epoch, let fresh = make() {
                guard fresh.canaryVersion != current.canaryVersion || fresh.weight != current.weight else {
                    return current
                }
                made = fresh
            } else {
                made = make()
            }
            if let current = state.current { state.retired.append((current, now.advanced(by: Self.retiredFor))) }
            state.current = made
            return made
        }
    }

    /// The windows that are due at `now`: those with something to tell, and a heartbeat each second of a canary.
    func windows(gateway: String, boot: String, now: ContinuousClock.Instant, at date: Date) -> [ServingWindow] {
        state.withLock { state in
            var windows: [ServingWindow] = []
            var observers = state.retired.map { ($0.observer, false) }
            if let current = state.current {
                let isDue = state.sentAt.map { now - $0 >= Self.heartbeat } ?? true
                observers.append((current, isDue))
            }
            for (observer, isHeartbeatDue) in observers {
                let (champion, canary) = observer.drain()
                guard isHeartbeatDue || !champion.isEmpty || !canary.isEmpty else { continue }
                state.number += 1
                state.sentAt = now
                windows.append(
                    ServingWindow(
                        model: model, gateway: gateway, boot: boot, number: state.number, epoch: observer.epoch,
                        weight: observer.weight, rollout: observer.rollout, canaryVersion: observer.canaryVersion,
                        arms: [Self.arm(.champion, champion), Self.arm(.canary, canary)], at: date))
            }
            state.retired.removeAll { $0.until <= now }
            return windows
        }
    }

    private static func arm(_ arm: Arm, _ tally: CanaryObserver.Tally) -> ServingWindow.ArmWindow {
        ServingWindow.ArmWindow(
            arm: arm, requests: tally.requests, newUnits: tally.fresh.map { Split.Place(value: $0).hex },
            firstBad: tally.firstBad)
    }
}
