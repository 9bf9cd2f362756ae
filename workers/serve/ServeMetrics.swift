import NauraServing
import NauraStage

/// A gateway's counts as metrics.
enum ServeMetrics {
    static func publish(_ measured: ServingMeasurements, to metrics: Metrics) {
        for arm in measured.arms { publish(arm, to: metrics) }
        for (status, count) in measured.refusals {
            metrics.counter("naura_serving_refused_total", ["status": "\(status)"], Double(count))
        }
        metrics.counter("naura_serving_overloads_total", [:], Double(measured.overloads))
        metrics.counter("naura_serving_records_dropped_total", [:], Double(measured.droppedRecords))
        metrics.gauge("naura_serving_records_pending_bytes", [:], Double(measured.pendingRecordBytes))
        metrics.gauge("naura_serving_in_flight_requests", [:], Double(measured.inFlight))
        metrics.gauge("naura_serving_loaded_models", [:], Double(measured.loadedModels))
        metrics.gauge("naura_serving_fresh_routes", [:], measured.hasFreshRoutes ? 1 : 0)
    }

    private static func publish(_ arm: ServingMeasurements.ArmMeasurement, to metrics: Metrics) {
        // The arm is no label of the counters: a version keeps its series when it becomes the champion.
        let labels: KeyValuePairs = ["model": arm.model, "version": "\(arm.version)"]
        metrics.counter("naura_serving_requests_total", labels, Double(arm.requests))
        metrics.counter("naura_serving_rows_total", labels, Double(arm.rows))
        metrics.counter("naura_serving_errors_total", labels, Double(arm.errors))
        for name in ["champion", "canary", "none"] {
            metrics.gauge(
                "naura_serving_arm_state", ["model": arm.model, "version": "\(arm.version)", "arm": name],
                arm.arm == name ? 1 : 0)
        }
        var below: UInt64 = 0
        var counts: [Double] = []
        for bound in Metrics.latencyBounds {
            let upTo = arm.latency.count(upTo: UInt64(bound * 1e9))
            counts.append(Double(upTo - below))
            below = upTo
        }
        counts.append(Double(arm.latency.count - below))
        metrics.histogram(
            "naura_serving_latency_seconds", labels, bounds: Metrics.latencyBounds, counts: counts,
            sum: Double(arm.latency.totalNanoseconds) / 1e9)
    }
}
