// Events that may be lost: what the gateways answered. They go straight to Kafka, never through the outbox.

import Logging
import NauraEvents
import NauraKafka
import Synchronization

/// Publishes events without waiting; drops and counts them when the buffer is full or the broker away.
public final class Telemetry: Sendable {
    /// Nil in a copy, where nothing is published.
    private let producer: KafkaProducer?

    init() { producer = nil }

    init(producer: KafkaProducer, metrics: Metrics) {
        self.producer = producer
        metrics.collect { metrics in
            metrics.counter("naura_telemetry_dropped_total", [:], Double(producer.statistics.dropped))
        }
    }

    /// Hands `event` to the producer's buffer.
    public func publish(_ event: EncodedEvent) { producer?.sendBuffered([KafkaMessage(event)]) }
}
