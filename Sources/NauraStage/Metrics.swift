// Counters, gauges and histograms in Prometheus' text format; as much of it as a worker needs.

import Synchronization

/// The metrics of one process. A metric's name ends in its unit.
public final class Metrics: Sendable {
    private enum Kind: String { case counter, gauge, histogram }

    private struct Series {
        var value = 0.0
        var buckets: [Double] = []
        var counts: [Double] = []
    }

    private struct Family {
        let kind: Kind
        let help: String
        let bounds: [Double]
        var series: [String: Series] = [:]
    }

    private struct State {
        var families: [String: Family] = [:]
        var inboxDays: Set<Int> = []
        var collectors: [@Sendable (Metrics) async -> Void] = []
    }

    private let state = Mutex(State())

    /// Seconds; from half a millisecond to ten seconds.
    public static let latencyBounds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    public init() {}

    /// Adds `amount` to a counter.
    public func count(_ name: String, _ labels: KeyValuePairs<String, String> = [:], by amount: Double = 1) {
        change(name, labels, .counter) { $0.value += amount }
    }

    /// Sets a gauge.
    public func gauge(_ name: String, _ labels: KeyValuePairs<String, String> = [:], _ value: Double) {
        change(name, labels, .gauge) { $0.value = value }
    }

    /// Sets a counter that another part of the process keeps.
    public func counter(_ name: String, _ labels: KeyValuePairs<String, String> = [:], _ value: Double) {
        change(name, labels, .counter) { $0.value = value }
    }

    /// Adds `seconds` to a histogram with ``latencyBounds``.
    public func observe(_ name: String, _ labels: KeyValuePairs<String, String> = [:], seconds: Double) {
        change(name, labels, .histogram, bounds: Metrics.latencyBounds) { series in
            if series.counts.isEmpty { series.counts = Array(repeating: 0, count: Metrics.latencyBounds.count + 1) }
            series.value += seconds
            let place = Metrics.latencyBounds.firstIndex { seconds <= $0 } ?? Metrics.latencyBounds.count
            series.counts[place] += 1
        }
    }

    /// Replaces a histogram by cumulative counts that another part of the process keeps.
    /// - Parameter counts: one a bound and one above all, not cumulative.
    public func histogram(
        _ name: String, _ labels: KeyValuePairs<String, String> = [:], bounds: [Double], counts: [Double], sum: Double
    ) {
        change(name, labels, .histogram, bounds: bounds) { series in
            series.counts = counts
            series.value = sum
        }
    }

    /// Runs `collector` before each reading of the metrics, for values that live elsewhere.
    public func collect(_ collector: @escaping @Sendable (Metrics) async -> Void) {
        state.withLock { $0.collectors.append(collector) }
    }

    /// All metrics in Prometheus' text format, after the collectors have run.
    public func text() async -> String {
        for collector in state.withLock({ $0.collectors }) { await collector(self) }
        return state.withLock { state in
            var text = ""
            for (name, family) in state.families.sorted(by: { $0.key < $1.key }) {
                text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
                for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                    text += Metrics.lines(name, labels, series, family)
                }
            }
            return text
        }
    }

    private static func lines(_ name: String, _ labels: String, _ series: Series, _ family: Family) -> String {
        guard family.kind == .histogram else {
            return "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(series.value)\n"
        }
        var (text, total) = ("", 0.0)
        let separator = labels.isEmpty ? "" : ","
        for (place, count) in series.counts.enumerated() {
            total += count
            let bound = place < family.bounds.count ? "\(family.bounds[place])" : "+Inf"
            text += "\(name)_bucket{\(labels)\(separator)le=\"\(bound)\"} \(total)\n"
        }
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        return text + "\(name)_sum\(braces) \(series.value)\n\(name)_count\(braces) \(total)\n"
    }

    private func change(
        _ name: String, _ labels: KeyValuePairs<String, String>, _ kind: Kind, bounds: [Double] = [],
        _ body: (inout Series) -> Void
    ) {
        let key = labels.map { "\($0.key)=\"\(Metrics.escaped($0.value))\"" }.joined(separator: ",")
        state.withLock { state in
            body(
                &state.families[
                    name,
                    default: Family(kind: kind, help: Metrics.help[name] ?? "See docs/operating.md.", bounds: bounds)
                ].series[key, default: Series()])
        }
    }

    private static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    private static let help = [
        "naura_events_handled_total": "Events a stage has settled, dead letters included.",
        "naura_dead_letters_total": "Events and jobs that failed for good.",
        "naura_zombie_writes_refused_total": "Transactions refused because another owner had taken over.",
        "naura_jobs_done_total": "Jobs settled by this process.",
        "naura_jobs_failed_total": "Failed tries of jobs.",
        "naura_consumer_lag_events": "Events of this process' partitions that it has not handled.",
        "naura_outbox_depth_events": "Outbox rows that Kafka has not acknowledged, over all streams.",
        "naura_lease_age_seconds": "Age of the oldest running job of this worker's kinds.",
        "naura_spans_exported_total": "Spans that the collector has taken.",
        "naura_spans_dropped_total": "Spans dropped because the queue was full or the collector refused them.",
        "naura_telemetry_dropped_total": "Telemetry events dropped because the buffer was full.",
    ]

    // MARK: - What the loops of a process know together

    var knownInboxDays: Set<Int> { state.withLock { $0.inboxDays } }
    func know(inboxDays days: Set<Int>) { state.withLock { $0.inboxDays.formUnion(days) } }
}
