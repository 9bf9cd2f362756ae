import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

/// Writes one snapshot's rows in pieces that nobody sees, and reveals them in one step.
struct FeaturizeSnapshot: JobRunner {
    static let kind: JobKind = "featurize"
    /// A million rows take half a minute.
    static let policy = JobPolicy(timeout: .seconds(12 * 3_600))
    /// Rows a transaction: a piece takes some tens of milliseconds.
    private static let pieceRows = 4_000
    /// Above this the online rows are refreshed in pieces before the end, so that settling stays short.
    private static let onlineRowsMax: Int64 = 50_000

    let artifacts: ArtifactStore

    func run(_ job: Job<FeaturizeOrder>, under lease: Lease) async throws {
        let order = job.arguments
        let plan = try await lease.transaction { work in try await FeaturizePlan.make(order, in: work) }
        guard let plan else { return try await lease.settle { _ in } }
        var writing = FeaturizeWriting(plan: plan)
        if !plan.views.isEmpty || !plan.labels.isEmpty {
            let path = try artifacts.open(plan.sha256)
            try await write(path, &writing, under: lease)
        }
        if writing.rows > Self.onlineRowsMax { try await refreshOnline(writing, under: lease) }
        let (written, views) = (writing, try writing.statistics())
        try await lease.settle { work in try await reveal(written, views, order, in: work) }
    }

    /// No rows of the snapshot will ever be read: it fails, and whoever published it is told. One that is ready for other
    /// views stays ready.
    func abandon(_ job: Job<FeaturizeOrder>, because failure: JobFailure, in work: borrowing Work) async throws {
        let order = job.arguments
        let snapshot = try await Snapshots.find(order.dataset, order.number, in: work.transaction)
        let violation = Violation(
            rule: failure.code, count: 1, message: "it could not be made into features: \(failure.message)")
        let json = String(decoding: try CodableTimes.encoder.encode([violation]), as: UTF8.self)
        guard try await Snapshots.fail(order.dataset, order.number, violations: json, in: work.transaction)
        else { return }
        try await work.emit(
            DataRejected(
                dataset: DatasetID(rawValue: order.dataset), snapshot: snapshot.sha256, number: order.number,
                uri: snapshot.uri, violations: [.init(rule: violation.rule, count: 1, message: violation.message)],
                reason: violation.message))
    }

    // MARK: - Writing

    private func write(_ path: String, _ writing: inout FeaturizeWriting, under lease: Lease) async throws {
        let plan = writing.plan
        let reader = try DataFile.open(path: path, format: plan.format)
        var pass = try FeaturizePass(plan: plan, columns: reader.columns)
        var record = Record()
        var isFirst = true
        var isMore = true
        while isMore {
            isMore = try pass.read(reader, into: &record, rows: Self.pieceRows)
            let piece = pass.takePiece()
            let isClearing = isFirst
            try await lease.transaction { work in
                if isClearing { try await Self.clear(plan, in: work) }
                for (view, rows) in zip(plan.views, piece.features) {
                    try await FeatureRows.write(rows, view: view, plan.number, in: work.transaction)
                }
                for (target, rows) in zip(plan.labels, piece.labels) {
                    try await LabelRows.write(rows, to: target, in: work.transaction)
                }
            }
            isFirst = false
            lease.report("\(record.number) rows")
        }
        writing.finish(pass, rows: record.number)
    }

    private static func clear(_ plan: FeaturizePlan, in work: borrowing Work) async throws {
        for view in plan.views { try await FeatureRows.clear(view, plan.number, in: work.transaction) }
        for target in plan.labels { try await LabelRows.clear(target, in: work.transaction) }
    }

    /// May show a new value online some moments before features-ready is said; repeating it changes nothing.
    private func refreshOnline(_ writing: FeaturizeWriting, under lease: Lease) async throws {
        for view in writing.plan.views {
            for first in stride(from: Int64(1), through: writing.rows, by: 20_000) {
                try await lease.transaction { work in
                    try await OnlineRows.refresh(
                        view, writing.plan.number, rows: first...first + 19_999, in: work.transaction)
                }
                lease.report("online rows: \(first) of \(writing.rows)")
            }
        }
    }

    // MARK: - Revealing

    private func reveal(
        _ writing: FeaturizeWriting, _ statistics: [String], _ order: FeaturizeOrder, in work: borrowing Work
    ) async throws {
        let plan = writing.plan
        let transaction = work.transaction
        let asOf = writing.latest.map { Timestamp.date($0) }
        // From here on no project can be applied: it either finds this snapshot ready, or its views are found below.
        try await Snapshots.lockDataset(of: plan.snapshot, in: transaction)
        for (view, statistics) in zip(plan.views, statistics) {
            try await FeatureViews.reveal(
                view, plan.number, rows: writing.written, statistics: statistics, asOf: asOf, in: transaction)
            if writing.rows > 0, writing.rows <= Self.onlineRowsMax {
                try await OnlineRows.refresh(view, plan.number, rows: 1...writing.rows, in: transaction)
            }
        }
        for target in plan.labels { try await LabelRows.reveal(target, in: transaction) }
        try await Snapshots.makeReady(plan.snapshot, in: transaction)
        if let next = try await plan.remainder(in: work) {
            return try await work.file(
                Self.kind, key: plan.dataset.name, about: next.about, arguments: next.order,
                priority: plan.isBackfill ? .backfill : .retrain)
        }
        guard order.announces else { return }
        try await work.emit(
            FeaturesReady(
                dataset: DatasetID(rawValue: plan.dataset.name), snapshot: plan.sha256, number: plan.number,
                featureViews: try await FeatureViews.names(of: plan.dataset.name, in: transaction),
                rows: Int(writing.written), asOf: asOf, backfill: plan.isBackfill ? true : nil))
    }
}
