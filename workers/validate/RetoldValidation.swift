// What validations once found, taken from their events.

import Foundation
import NauraEvents
import NauraRules
import NauraStage
import NauraStore

/// A snapshot was let in. Its profile and the moments that it holds are in no event, and stay unknown.
struct RetoldValidated: Retelling {
    static let origins: [StageName] = ["validate"]

    func apply(_ event: Event<DataValidated>, in work: borrowing Work) async throws -> Retold {
        let validated = event.payload
        guard let snapshot = try await snapshot(validated.dataset, validated.number, in: work) else {
            return .later("snapshot \(validated.number) of \(validated.dataset) has not arrived")
        }
        let content = SnapshotContent(
            sha256: validated.snapshot, bytes: validated.bytes, rows: Int64(validated.rows), profile: nil, window: nil)
        _ = try await Snapshots.validate(snapshot, content, in: work.transaction)
        return .told
    }
}

/// A snapshot was refused, or could not be looked at.
struct RetoldRejected: Retelling {
    static let origins: [StageName] = ["validate"]

    func apply(_ event: Event<DataRejected>, in work: borrowing Work) async throws -> Retold {
        let rejected = event.payload
        guard let number = rejected.number else { return .later("the stage says it when it numbers the data") }
        guard let snapshot = try await snapshot(rejected.dataset, number, in: work) else {
            return .later("snapshot \(number) of \(rejected.dataset) has not arrived")
        }
        let violations = String(decoding: try CodableTimes.encoder.encode(rejected.found), as: UTF8.self)
        if rejected.checked == false {
            _ = try await Snapshots.fail(snapshot.dataset, number, violations: violations, in: work.transaction)
        } else {
            let content = rejected.snapshot.map {
                SnapshotContent(
                    sha256: $0, bytes: nil, rows: rejected.rows.map(Int64.init), profile: nil, window: nil)
            }
            _ = try await Snapshots.reject(snapshot, content, violations: violations, in: work.transaction)
        }
        return .told
    }
}

extension DataRejected {
    /// The violations as the snapshot's row holds them.
    fileprivate var found: [Violation] {
        violations.map {
            Violation(
                rule: $0.rule, column: $0.column, count: $0.count, sample: $0.sample, message: $0.message ?? "")
        }
    }
}

/// The snapshot; nil while the event that announced it has not been handled.
private func snapshot(_ dataset: DatasetID, _ number: Int64, in work: borrowing Work) async throws -> Snapshot? {
    try await Snapshots.known(dataset.rawValue, number, in: work.transaction)
}
