// What became of snapshots that were made into features, taken from the events. The rows themselves are not made again:
// their bytes are in the artifact store, not in history.

import Foundation
import NauraEvents
import NauraRules
import NauraStage
import NauraStore

/// A snapshot's rows could be read.
struct RetoldReady: Retelling {
    static let origins: [StageName] = ["featurize"]

    func apply(_ event: Event<FeaturesReady>, in work: borrowing Work) async throws -> Retold {
        let ready = event.payload
        let snapshot = try await Snapshots.known(ready.dataset.rawValue, ready.number, in: work.transaction)
        guard let snapshot, [.validated, .failed, .ready].contains(snapshot.state) else {
            return .later("snapshot \(ready.number) of \(ready.dataset) has not been validated")
        }
        try await Snapshots.makeReady(snapshot, in: work.transaction)
        return .told
    }
}

/// No rows of a snapshot will ever be read.
struct RetoldUnready: Retelling {
    static let origins: [StageName] = ["featurize"]

    func apply(_ event: Event<DataRejected>, in work: borrowing Work) async throws -> Retold {
        let rejected = event.payload
        let number = rejected.number ?? 0
        let snapshot = try await Snapshots.known(rejected.dataset.rawValue, number, in: work.transaction)
        guard let snapshot, snapshot.state == .validated else {
            return .later("snapshot \(number) of \(rejected.dataset) has not been validated")
        }
        let violations = rejected.violations.map {
            Violation(rule: $0.rule, column: $0.column, count: $0.count, sample: $0.sample, message: $0.message ?? "")
        }
        _ = try await Snapshots.fail(
            snapshot.dataset, number,
            violations: String(decoding: try CodableTimes.encoder.encode(violations), as: UTF8.self),
            in: work.transaction)
        return .told
    }
}
