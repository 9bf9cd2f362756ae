import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

/// Fetches one snapshot's bytes and lets them in, refuses them, or finds that they came before.
struct ValidateSnapshot: JobRunner {
    struct Arguments: Codable, Sendable {
        let dataset: String
        let number: Int64
    }

    static let kind: JobKind = "validate"
    /// Some 900,000 rows take seconds; a slow source may take long.
    static let policy = JobPolicy(timeout: .seconds(6 * 3_600))
    /// Attempts at an address that answers with a passing fault, before the data are refused.
    private static let fetchTriesMax = 4

    let artifacts: ArtifactStore

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let (snapshot, dataset, knownUntil) = try await lease.transaction { work in
            let snapshot = try await Snapshots.find(
                job.arguments.dataset, job.arguments.number, in: work.transaction)
            let dataset = try await Datasets.find(snapshot.dataset, in: work.transaction)
            let known = try await Snapshots.latestMoment(
                of: snapshot.dataset, before: snapshot.number, in: work.transaction)
            return (snapshot, dataset, known.map { Timestamp.microseconds($0) })
        }
        // A failed one comes again when its job is redriven.
        guard snapshot.state == .arrived || snapshot.state == .failed else { return try await lease.settle { _ in } }
        guard let dataset else {
            let reason = "dataset '\(snapshot.dataset)' is no longer part of the applied project"
            return try await reject(
                snapshot, nil, [Violation(rule: "unknown-dataset", count: 1, message: reason)], under: lease)
        }
        let format = DataFormat(rawValue: snapshot.format) ?? .csv
        do {
            lease.report("fetching \(snapshot.uri)")
            let file = try await DataSource.fetch(
                uri: snapshot.uri, format: format, expectedSHA256: snapshot.expectedSHA256,
                into: try artifacts.writingFolder())
            defer { file.remove() }
            if try await isRepeated(file, snapshot, under: lease) { return }
            try await inspect(file, snapshot, dataset, knownUntil: knownUntil, format: format, under: lease)
        } catch let fault as DataFault where !Self.isOurs(fault) {
            if fault.isTransient, job.tries + 1 < Self.fetchTriesMax { throw fault }
            try await reject(snapshot, nil, [Violation(fault)], under: lease)
        }
    }

    /// Nobody will look at the bytes again: the snapshot fails, and whoever published them is told.
    func abandon(_ job: Job<Arguments>, because failure: JobFailure, in work: borrowing Work) async throws {
        let snapshot = try await Snapshots.find(job.arguments.dataset, job.arguments.number, in: work.transaction)
        let violation = Violation(
            rule: failure.code, count: 1, message: "it could not be checked: \(failure.message)")
        let json = String(decoding: try CodableTimes.encoder.encode([violation]), as: UTF8.self)
        guard try await Snapshots.fail(snapshot.dataset, snapshot.number, violations: json, in: work.transaction)
        else { return }
        try await work.emit(
            DataRejected(
                dataset: DatasetID(rawValue: snapshot.dataset), number: snapshot.number, uri: snapshot.uri,
                violations: [.init(rule: violation.rule, count: 1, message: violation.message)],
                reason: violation.message, checked: false))
    }

    /// Whether a fault speaks of Naura's own disk, and says nothing about the data.
    private static func isOurs(_ fault: DataFault) -> Bool {
        [.storage, .artifactMissing].contains(fault.code)
    }

    /// Ends a snapshot whose bytes the dataset holds already: nothing to do.
    private func isRepeated(
        _ file: DataSource.FetchedFile, _ snapshot: Snapshot, under lease: Lease
    ) async throws -> Bool {
        let holder = try await lease.transaction { work in
            try await Snapshots.holder(of: file.sha256, in: snapshot.dataset, work.transaction)
        }
        guard let holder else { return false }
        lease.report("the same bytes as snapshot \(holder)")
        try await lease.settle { work in
            _ = try await Snapshots.repeated(
                snapshot,
                SnapshotContent(sha256: file.sha256, bytes: file.bytes, rows: nil, profile: nil, window: nil),
                in: work.transaction)
        }
        return true
    }

    private func inspect(
        _ file: DataSource.FetchedFile, _ snapshot: Snapshot, _ dataset: DatasetDefinition, knownUntil: Int64?,
        format: DataFormat, under lease: Lease
    ) async throws {
        let inspection: FileInspection
        do {
            inspection = try await FileInspection.inspect(
                path: file.path, format: format, dataset: dataset, knownUntil: knownUntil
            ) { lease.report("read \($0) rows") }
        } catch let fault as DataFault where !Self.isOurs(fault) {
            let content = SnapshotContent(
                sha256: file.sha256, bytes: file.bytes, rows: nil, profile: nil, window: nil)
            return try await reject(snapshot, content, [Violation(fault)], under: lease)
        }
        let content = SnapshotContent(
            sha256: file.sha256, bytes: file.bytes, rows: inspection.profile.rows,
            profile: String(decoding: try CodableTimes.encoder.encode(inspection.profile), as: UTF8.self),
            window: inspection.moments.map { (Timestamp.date($0.lowerBound), Timestamp.date($0.upperBound)) })
        guard inspection.violations.isEmpty else {
            return try await reject(snapshot, content, inspection.violations, under: lease)
        }
        lease.report("storing \(file.bytes) bytes")
        try artifacts.adopt(file)
        try await accept(snapshot, content, inspection, under: lease)
    }

    private func accept(
        _ snapshot: Snapshot, _ content: SnapshotContent, _ inspection: FileInspection, under lease: Lease
    ) async throws {
        let summary = inspection.profile.summary
        let profile = try JSONDecoder().decode(JSONValue.self, from: CodableTimes.encoder.encode(summary))
        try await lease.settle { work in
            guard try await Snapshots.validate(snapshot, content, in: work.transaction) else { return }
            try await work.emit(
                DataValidated(
                    dataset: DatasetID(rawValue: snapshot.dataset), snapshot: content.sha256,
                    number: snapshot.number, uri: snapshot.uri, rows: Int(inspection.profile.rows),
                    bytes: content.bytes, profile: profile, backdatedRows: Int(inspection.backdatedRows),
                    backfill: snapshot.isBackfill ? true : nil))
        }
    }

    private func reject(
        _ snapshot: Snapshot, _ content: SnapshotContent?, _ violations: [Violation], under lease: Lease
    ) async throws {
        let json = String(decoding: try CodableTimes.encoder.encode(violations), as: UTF8.self)
        let more = violations.count > 1 ? " (and \(violations.count - 1) more)" : ""
        try await lease.settle { work in
            guard try await Snapshots.reject(snapshot, content, violations: json, in: work.transaction) else { return }
            try await work.emit(
                DataRejected(
                    dataset: DatasetID(rawValue: snapshot.dataset), snapshot: content?.sha256,
                    number: snapshot.number, uri: snapshot.uri, rows: content?.rows.map { Int($0) },
                    violations: violations.map {
                        .init(
                            rule: $0.rule, column: $0.column, count: $0.count, sample: $0.sample, message: $0.message)
                    }, reason: violations.first.map { $0.message + more }))
        }
    }
}
