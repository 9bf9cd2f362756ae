import NauraEvents
import Synchronization

/// Counters of one version of one model in one gateway.
final class ArmMetrics: Sendable {
    struct Values: Sendable {
        var requests: UInt64 = 0
        var errors: UInt64 = 0
        var rows: UInt64 = 0
        var latency = LatencyHistogram()
        var recent = RecentLatencies()
    }

    let model: String
    let version: Int
    private let state = Mutex(Values())

    init(model: String, version: Int) {
        self.model = model
        self.version = version
    }

    /// Counts one request that was answered, with a score or with an error of the model's own.
    func record(nanoseconds: UInt64, rows: Int, isError: Bool) {
        state.withLock { values in
            values.requests += 1
            values.rows += UInt64(rows)
            if isError { values.errors += 1 }
            values.latency.record(nanoseconds: nanoseconds)
            values.recent.record(nanoseconds: nanoseconds)
        }
    }

    var values: Values { state.withLock { $0 } }
}
