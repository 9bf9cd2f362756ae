import Foundation
import Logging
import NauraEvents
import NauraServing
import NauraStage

/// Publishes what a gateway saw as events, straight to Kafka: a full buffer or a lost broker drops them, counted.
struct KafkaSink: ServingSink {
    /// The gateway's name.
    let gateway: String
    /// Names the process among the runs of the gateway, so that no two events get one id.
    let boot: String
    let telemetry: Telemetry

    func publish(_ batch: PredictionBatch) {
        telemetry.publish(
            EncodedEvent(
                envelope: envelope(Predictions.type, model: batch.model, number: batch.number), body: batch.body))
    }

    func publish(_ window: ServingWindow) {
        do {
            let envelope = envelope(ServingWindow.type, model: window.model, number: window.number)
            telemetry.publish(try EncodedEvent(window, envelope: envelope))
        } catch {
            // A window breaks its own schema only by our own mistake; the gap in the numbers tells the rollout.
            Logger(label: "serve").error("a serving window could not be encoded", metadata: ["error": "\(error)"])
        }
    }

    private func envelope(_ type: EventType, model: ModelID, number: Int64) -> Envelope {
        Envelope(
            id: .derived(stage: "serve", type: type, subject: model.rawValue, about: "\(gateway)/\(boot)/\(number)"),
            type: type, source: Envelope.ownSourcePrefix + "serve", subject: model.rawValue, time: Date())
    }
}
