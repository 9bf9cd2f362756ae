public import NauraEvents

/// Where the gateway's telemetry goes.
///
/// Called from the reporter, never from an answer. Neither call may wait: what cannot be taken is dropped, and whoever
/// connects the sink counts it. A dropped window is noticed by the gap in its numbers.
public protocol ServingSink: Sendable {
    /// Takes answers that were given.
    func publish(_ batch: PredictionBatch)
    /// Takes what was seen of a model with a canary.
    func publish(_ window: ServingWindow)
}

/// Answers of one model, encoded as the payload of one `predictions` event.
public struct PredictionBatch: Sendable {
    /// The model.
    public let model: ModelID
    /// Counts the batches of one boot and model, from 1.
    public let number: Int64
    /// How many answers it holds.
    public let count: Int
    /// `{"model": …, "items": […]}` in UTF-8.
    public let body: [UInt8]
}
