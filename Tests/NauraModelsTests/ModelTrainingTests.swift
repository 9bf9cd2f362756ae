import Foundation
import NauraModels
import NauraRules
import Synchronization
import Testing

@Suite struct ModelTrainingTests {
    /// A frozen set of made-up customers; the files go with the value.
    final class FrozenSet: Sendable {
        let rows: String
        let moments: String
        let summary: TrainingSetSummary

        init(rows count: Int, label: (Bool) -> String = { $0 ? "Yes" : "No" }) throws {
            let folder = FileManager.default.temporaryDirectory.path
            rows = "\(folder)/rows-\(UUID().uuidString)"
            moments = "\(folder)/moments-\(UUID().uuidString)"
            var summary = TrainingSetSummary()
            let sample = Sample(rows: count)
            let writer = try TrainingSetWriter(rowsPath: rows, momentsPath: moments, inputs: Sample.inputs)
            for index in 0..<count {
                let key = "customer-\(index)"
                let row = TrainingRow(
                    key: key, side: Holdout.side(entityKey: key, share: 0.2, salt: "churn"),
                    label: label(sample.labels[index]), values: sample.rows[index])
                try writer.append(row, moment: Int64(index))
                summary.add(row)
            }
            try writer.flush()
            self.summary = summary
        }

        deinit { for path in [rows, moments] { unlink(path) } }

        func order(_ parameters: XGBoostParameters, threads: Int = 1) -> TrainingOrder {
            TrainingOrder(
                rowsPath: rows, inputs: Sample.inputs, positive: "Yes", salt: "churn", parameters: parameters,
                threads: threads)
        }
    }

    static let parameters = XGBoostParameters(rounds: 12, maxDepth: 4, learningRate: 0.2, seed: 7, subsample: 0.8)

    @Test("a frozen set trained twice gives one digest, whatever the threads and whether the rounds are measured")
    func isDeterministic() async throws {
        let set = try FrozenSet(rows: 1_200)
        var blind = Self.parameters
        blind.validationShare = 0
        let first = try await ModelTraining.train(set.order(Self.parameters))
        let second = try await ModelTraining.train(set.order(Self.parameters, threads: 2))
        let unmeasured = try await ModelTraining.train(set.order(blind))
        #expect(first.package.digest == second.package.digest)
        #expect(first.package.digest == unmeasured.package.digest)
        #expect(first.metrics == second.metrics)
        #expect((first.metrics["holdout_auc"] ?? 0) > 0.6)
        #expect(first.package.bytes(of: "samples.json").isEmpty == false)
    }

    @Test("curves of the validation part come before those of the final model")
    func tellsProgress() async throws {
        let set = try FrozenSet(rows: 600)
        let seen = Mutex<[ModelTraining.Progress]>([])
        _ = try await ModelTraining.train(set.order(Self.parameters)) { progress in
            seen.withLock { $0.append(progress) }
        }
        let progress = seen.withLock { $0 }
        #expect(progress.map(\.round) == Array(1...12) + Array(1...12))
        #expect(progress.first?.metrics.map(\.name) == ["validation_logloss", "validation_auc"])
        #expect(progress.last?.metrics.map(\.name) == ["train_logloss", "train_auc"])
    }

    @Test("early stopping ends at the best round of the validation part, the same one each time")
    func stopsEarly() async throws {
        let set = try FrozenSet(rows: 500)
        var parameters = Self.parameters
        parameters.rounds = 80
        parameters.learningRate = 0.5
        parameters.earlyStoppingRounds = 5
        let first = try await ModelTraining.train(set.order(parameters))
        let second = try await ModelTraining.train(set.order(parameters))
        #expect(first.rounds < 80)
        #expect(first.package.digest == second.package.digest)
    }

    @Test("a row reads back as it was written, and the moments lie beside")
    func roundTrips() throws {
        let set = try FrozenSet(rows: 50)
        var rows: [[CellValue]] = []
        try TrainingSetFile.forEachRow(of: set.rows, inputs: Sample.inputs) { rows.append($0.values) }
        #expect(rows == Sample(rows: 50).rows)
        #expect(try TrainingSetFile.moments(of: set.moments) == (0..<50).map(Int64.init))
        #expect(throws: ModelFault.self) {
            try TrainingSetFile.forEachRow(of: set.rows, inputs: Array(Sample.inputs.reversed())) { _ in }
        }
    }

    @Test("without a stated positive label the rarer of two is positive; one label, or three, are refused")
    func choosesPositive() throws {
        let set = try FrozenSet(rows: 200) { $0 ? "late" : "on time" }
        let labels = set.summary.trainingLabels
        let rarer = (labels["late"] ?? 0) < (labels["on time"] ?? 0) ? "late" : "on time"
        #expect(try set.summary.positive(asked: nil) == rarer)
        #expect(try set.summary.positive(asked: "late") == "late")
        #expect(throws: ModelFault.self) { try set.summary.positive(asked: "never") }
        #expect(throws: ModelFault.self) { try FrozenSet(rows: 50) { _ in "same" }.summary.positive(asked: nil) }
        #expect(throws: ModelFault.self) { try TrainingSetSummary().positive(asked: "Yes") }
    }
}
