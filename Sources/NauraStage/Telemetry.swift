// Events that may be lost: what the gateways answered. They go straight to Kafka, never through the outbox.

import Logging
import NauraEvents
import NauraKafka
import Synchronization

/// Publishes events without waiting; drops and counts them when the buffer is full or the broker away.
public final class Telemetry: Sendable {
    private let producer: KafkaProducer
    private let metrics: Metrics

    init(producer: KafkaProducer, metrics: Metrics) {
        self.producer = producer
        self.metrics = metrics
    }

    /// Hands `event` to the producer's buffer. Returns false when it was dropped.
    @discardableResult
    public func publish(_ event: EncodedEvent) -> Bool {
        let message = KafkaMessage(
            topic: event.envelope.type.rawValue, key: Array(event.envelope.subject.utf8), value: event.body,
            headers: event.headers)
        let isTaken = producer.sendBuffered([message]) == 0
        if !isTaken { metrics.count("naura_telemetry_dropped_total", ["type": event.envelope.type.rawValue]) }
        return isTaken
    }
}
