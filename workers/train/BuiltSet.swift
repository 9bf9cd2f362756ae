import Foundation
import NauraData
import NauraModels
import NauraRules
import NauraStage
import NauraStore

/// A training set in the artifact store.
struct BuiltSet: Sendable {
    let record: TrainingSetRecord
    let inputs: [ModelInput]
}

extension TrainModel {
    /// Joins labels and features as the request froze them, and stores the rows under their own hash.
    ///
    /// - Throws: ``ModelFault`` `untrainable` with the reason why no model can be made from what is there.
    func buildSet(_ request: FrozenRequest) async throws -> BuiltSet {
        let inputs = try inputs(of: request)
        // Beside the store's own half-written files, which are swept when a killed worker left them.
        let (rows, moments) = (try temporaryPath(), try temporaryPath())
        defer { for path in [rows, moments] { unlink(path) } }
        let summary = try await write(request, inputs, rows: rows, moments: moments)
        let positive = try summary.positive(asked: request.model.label.positive)
        return BuiltSet(
            record: TrainingSetRecord(
                sha256: try artifacts.put(file: rows), model: request.model.name, rows: summary.rows,
                holdoutRows: summary.holdoutRows, positive: positive, moments: try artifacts.put(file: moments)),
            inputs: inputs)
    }

    private func write(
        _ request: FrozenRequest, _ inputs: [ModelInput], rows: String, moments: String
    ) async throws -> TrainingSetSummary {
        let writer = try TrainingSetWriter(rowsPath: rows, momentsPath: moments, inputs: inputs)
        var summary = TrainingSetSummary()
        let model = request.model
        try await history.forEachRow(of: request) { label, values in
            let row = TrainingRow(
                key: label.key,
                side: Holdout.side(entityKey: label.key, share: model.holdoutShare, salt: model.name),
                label: label.label, values: values)
            summary.add(row)
            try writer.append(row, moment: label.moment)
        }
        try writer.flush()
        return summary
    }

    private func inputs(of request: FrozenRequest) throws -> [ModelInput] {
        let missing = request.model.features.filter { name in
            !request.views.contains { $0.definition.name == name }
        }
        guard missing.isEmpty else {
            throw ModelFault(
                .untrainable, "no rows of the feature view \(missing.joined(separator: ", ")) are there yet")
        }
        return try ModelSignature.over(request.views.map(\.definition)).inputs
    }

    private func temporaryPath() throws -> String { "\(try artifacts.writingFolder())/\(UUID().uuidString)" }
}
