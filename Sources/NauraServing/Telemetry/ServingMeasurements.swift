import Synchronization

/// What a gateway has counted, at one moment; whoever runs it turns this into metrics.
public struct ServingMeasurements: Sendable {
    /// One version of one model.
    public struct ArmMeasurement: Sendable {
        public let model: String
        public let version: Int
        /// `champion`, `canary`, or `none` for a version that answers no more.
        public let arm: String
        public let requests: UInt64
        public let rows: UInt64
        /// Requests that the model answered with an error of its own.
        public let errors: UInt64
        public let latency: LatencyHistogram
    }

    public let arms: [ArmMeasurement]
    /// Requests refused with a 4xx, by status.
    public let refusals: [(status: Int, count: Int)]
    /// Requests answered 503 because too many were in flight.
    public let overloads: Int
    public let inFlight: Int
    /// Prediction records that found no room.
    public let droppedRecords: Int
    public let pendingRecordBytes: Int
    public let loadedModels: Int
    /// Whether a canary would be served now.
    public let hasFreshRoutes: Bool
}

/// Counts that belong to no model.
final class ServingCounters: Sendable {
    private static let statuses = [400, 401, 404, 405, 413, 415, 503]

    let inFlight = Atomic<Int>(0)
    let keyedInFlight = Atomic<Int>(0)
    let overloaded = Atomic<Int>(0)
    private let refused = Mutex([Int](repeating: 0, count: statuses.count))

    func refuse(_ status: Int) {
        guard let position = Self.statuses.firstIndex(of: status) else { return }
        refused.withLock { $0[position] += 1 }
    }

    var refusals: [(status: Int, count: Int)] {
        let counts = refused.withLock { $0 }
        return Self.statuses.indices.map { (Self.statuses[$0], counts[$0]) }
    }
}

/// Wakes a service that sleeps until its next round.
final class Bell: Sendable {
    let rings: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (rings, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func ring() { continuation.yield() }
}
