import NauraData
import NauraModels
import NauraRules
import NauraStage
import NauraStore

/// The rows of a frozen set that no trainer has seen.
private struct HoldoutRows: Sendable {
    var moments: [LabelledMoment] = []
    var labels: [Bool] = []
    var rows: [[CellValue]] = []
}

extension EvaluateCandidate {
    /// Scores all models concerned on the candidate's holdout.
    func score(_ trial: Trial) async throws -> ScoredHoldout {
        let candidate = try open(trial.candidate)
        let champion = try trial.champion.map(open)
        let best = try trial.best.map(open)
        let inputs = candidate.signature.inputs
        let (rowsPath, momentsPath) = (
            try artifacts.open(trial.holdout.sha256), try artifacts.open(trial.holdout.moments)
        )
        let positive = trial.holdout.positive
        let holdout = try await LibraryThread.run { cancellation in
            try Self.read(
                rowsPath, momentsPath, inputs: inputs, positive: positive, cancellation: cancellation)
        }
        return ScoredHoldout(
            entities: holdout.moments.map(\.key), labels: holdout.labels,
            candidate: try await scores(of: candidate, holdout.rows),
            champion: try await scores(of: champion, trial.championRequest, trial, holdout),
            best: try await scores(of: best, trial.bestRequest, trial, holdout),
            slices: Self.slices(trial.policy.slices, candidate.signature, holdout.rows))
    }

    private func open(_ version: ModelVersion) throws -> ServedModel {
        let files = try artifacts.packageFiles(version.artifact)
        return try ServedModel.load(digest: version.digest) { path in
            guard let bytes = files[path] else {
                throw ModelFault(.malformed, "the package of version \(version.version) has no \(path)")
            }
            return bytes
        }
    }

    private static func read(
        _ rowsPath: String, _ momentsPath: String, inputs: [ModelInput], positive: String, cancellation: Cancellation
    ) throws -> HoldoutRows {
        let moments = try TrainingSetFile.moments(of: momentsPath)
        var holdout = HoldoutRows()
        var index = 0
        try TrainingSetFile.forEachRow(of: rowsPath, inputs: inputs) { row in
            defer { index += 1 }
            if index % 1_024 == 0 { try cancellation.check() }
            guard row.side == .holdout, index < moments.count else { return }
            holdout.moments.append(LabelledMoment(key: row.key, moment: moments[index], label: row.label))
            holdout.labels.append(row.label == positive)
            holdout.rows.append(row.values)
        }
        return holdout
    }

    /// The scores of another model than the candidate, which gets its own features for the same moments.
    private func scores(
        of model: ServedModel?, _ request: FrozenRequest?, _ trial: Trial, _ holdout: HoldoutRows
    ) async throws -> [Double]? {
        guard let model else { return nil }
        let own = Set(trial.request.views.map(\.id))
        let rows: [[CellValue]]
        let names: [ModelInput]
        if let request, !own.isSuperset(of: request.views.map(\.id)) {
            names = try ModelSignature.over(request.views.map(\.definition)).inputs
            rows = try await history.features(
                at: holdout.moments, views: request.views, readPoints: trial.request.readPoints)
        } else {
            names = try ModelSignature.over(trial.request.views.map(\.definition)).inputs
            rows = holdout.rows
        }
        let positions = try model.signature.inputs.map { input in
            guard let position = names.firstIndex(of: input) else {
                throw Rejection(
                    "the column \(input.name) of the model to compare with cannot be joined", code: "cannot-join")
            }
            return position
        }
        return try await scores(of: model, rows.map { row in positions.map { row[$0] } })
    }

    /// One score a row; NaN where the model has no answer, which the gate knows how to judge.
    private func scores(of model: ServedModel, _ rows: [[CellValue]]) async throws -> [Double] {
        try await LibraryThread.run { cancellation in
            try rows.enumerated().map { index, row in
                if index % 1_024 == 0 { try cancellation.check() }
                do throws(ModelFault) {
                    return try model.score(row)
                } catch {
                    guard error.code == .notANumber else { throw error }
                    return .nan
                }
            }
        }
    }

    /// The values of each slice column that is a feature of the candidate.
    private static func slices(
        _ columns: [String], _ signature: ModelSignature, _ rows: [[CellValue]]
    ) -> [String: [String]] {
        var slices: [String: [String]] = [:]
        for column in columns {
            guard let position = signature.position(of: column) else { continue }
            slices[column] = rows.map { $0[position].description }
        }
        return slices
    }
}
