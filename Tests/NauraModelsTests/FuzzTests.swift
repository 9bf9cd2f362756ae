// Damaged model files: each is refused with a reason, or answers a row.

import NauraTestKit
import Testing

@testable import NauraModels

@Suite("Fuzzed models")
struct FuzzTests {
    @Test("a model file is refused with a reason, or scores a row")
    func models() async throws {
        let sample = Sample(rows: 300)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let json = try await XGBoostTrainer(
            rounds: 2, parameters: Sample.parameters + [("max_depth", "2")]
        ).train(sample.matrix(encoder))
        try await Fuzz.run(
            "models", samples: [json],
            tokens: ["-1", "2147483648", "[]", "1E-45", #""split_indices":"#, "NaN", "99999"]
        ) { input in
            do {
                let imported = try ModelImport.normalised(input)
                let trees = try TreeModel(json: imported.json)
                guard trees.width < 1_000 else { return }
                for value: Float in [1, -1, .nan] {
                    _ = [Float](repeating: value, count: trees.width).withUnsafeBufferPointer { trees.score($0) }
                }
            } catch let fault as ModelFault {
                try Fuzz.require(!"\(fault)".isEmpty, "a fault without words")
            }
        }
    }
}
