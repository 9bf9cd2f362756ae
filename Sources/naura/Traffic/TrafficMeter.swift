import Foundation
import Synchronization

/// Counts what the gateway answered.
final class TrafficMeter: Sendable {
    /// What was counted between two looks, or since the start.
    struct Reading: Sendable {
        var sent = 0
        var answered = 0
        /// Answers with status 4xx.
        var refused = 0
        /// Answers with status 5xx, and requests without an answer.
        var failed = 0
        /// Requests that were due while too many were open already.
        var shed = 0
        /// Answers by `arm/version`, as the gateway names them in its headers.
        var byArm: [String: Int] = [:]
        /// Failures by the same names; `none` where there was no answer at all.
        var failedByArm: [String: Int] = [:]
        /// The latest failure's text.
        var lastFailure: String?
        var latencies = LatencyHistogram()
    }

    private let state = Mutex<(whole: Reading, recent: Reading)>((Reading(), Reading()))

    func sent() { update { $0.sent += 1 } }
    func shed() { update { $0.shed += 1 } }

    /// Counts an answer.
    /// - Parameter seconds: counted from the moment at which the request was *due*, so that a stalled gateway shows.
    func answered(status: Int, arm: String, seconds: Double, detail: @autoclosure () -> String) {
        let text = status >= 400 ? "\(status) from \(arm): \(detail())" : nil
        update { reading in
            reading.answered += 1
            reading.byArm[arm, default: 0] += 1
            reading.latencies.record(seconds: seconds)
            switch status {
            case 400..<500: reading.refused += 1
            case 500...:
                reading.failed += 1
                reading.failedByArm[arm, default: 0] += 1
            default: break
            }
            if let text { reading.lastFailure = text }
        }
    }

    /// Counts a request without an answer.
    func unanswered(_ error: any Error) {
        let text = "\(error)"
        update { reading in
            reading.failed += 1
            reading.failedByArm["none", default: 0] += 1
            reading.lastFailure = text
        }
    }

    /// Everything since the start.
    var whole: Reading { state.withLock { $0.whole } }

    /// What was counted since the last call.
    func takeRecent() -> Reading {
        state.withLock { state in
            defer { state.recent = Reading() }
            return state.recent
        }
    }

    private func update(_ change: (inout Reading) -> Void) {
        state.withLock { state in
            change(&state.whole)
            change(&state.recent)
        }
    }
}
