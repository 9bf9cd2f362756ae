// The built-in trainer beside the same XGBoost calls alone, on the same rows, in turns:
//
//     training-benchmark [ROWS] [ROUNDS]     prints rows of a Markdown table

import CXGBoost
import Foundation
import NauraModels
import NauraRules

@main enum TrainingBenchmark {
    static let parameters: [(name: String, value: String)] = [
        ("max_depth", "4"), ("eta", "0.1"), ("seed", "7"), ("subsample", "1"), ("colsample_bytree", "1"),
    ]
    static let turns = 5

    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let rows = arguments.first ?? 50_000
        let rounds = arguments.dropFirst().first ?? 100
        let matrix = try matrix(rows: rows)
        let clock = ContinuousClock()
        var ours: [Double] = []
        var bare: [Double] = []
        var models: Set<[UInt8]> = []
        for _ in 0..<turns {
            bare.append(try seconds(clock.measure { models.insert(try Self.bare(matrix, rounds: rounds)) }))
            let trainer = XGBoostTrainer(rounds: rounds, parameters: parameters)
            let start = clock.now
            models.insert(try await trainer.train(matrix))
            ours.append(seconds(clock.now - start))
        }
        guard models.count == 1 else { throw BenchmarkFailure(description: "the two make different models") }
        let ratios = zip(ours, bare).map { $0 / $1 }.sorted()
        print("| XGBoost's C API alone | \(rows) × \(matrix.width) | \(text(bare)) | 1 |")
        print(
            "| built-in trainer | \(rows) × \(matrix.width) | \(text(ours)) "
                + "| \(String(format: "%.3f", ratios[turns / 2])) |")
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }

    private static func text(_ seconds: [Double]) -> String { String(format: "%.2f", seconds.sorted()[turns / 2]) }

    /// Numbers with gaps and a text of four categories, with a label that follows from them.
    private static func matrix(rows: Int) throws -> TrainingMatrix {
        var state: UInt64 = 1
        func random() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 11) / Double(1 << 53)
        }
        var inputs = (0..<10).map { ModelInput(name: "number\($0)", type: .number) }
        inputs.append(ModelInput(name: "text", type: .text))
        var all: [[CellValue]] = []
        var labels: [Bool] = []
        for _ in 0..<rows {
            let numbers = (0..<10).map { _ in random() * 100 }
            all.append(numbers.map { random() < 0.02 ? .null : .number($0) } + [.text("category \(Int(random() * 4))")])
            labels.append(numbers[0] + numbers[1] * numbers[2] / 100 + random() * 60 > 110)
        }
        let encoder = try FeatureEncoder.fit(inputs, rows: all)
        var matrix = TrainingMatrix(width: encoder.width)
        for (row, label) in zip(all, labels) { matrix.append(row, isPositive: label, encoder: encoder) }
        return matrix
    }

    /// What anybody would write against the library.
    private static func bare(_ matrix: TrainingMatrix, rounds: Int) throws -> [UInt8] {
        var data: DMatrixHandle?
        try check(XGDMatrixCreateFromMat(matrix.values, UInt64(matrix.rows), UInt64(matrix.width), .nan, &data))
        try check(XGDMatrixSetFloatInfo(data, "label", matrix.labels, UInt64(matrix.rows)))
        var booster: BoosterHandle?
        var matrices = [data]
        try check(XGBoosterCreate(&matrices, 1, &booster))
        let usual = [
            (name: "booster", value: "gbtree"), ("tree_method", "hist"), ("objective", "binary:logistic"),
            ("verbosity", "0"), ("nthread", "1"),
        ]
        for (name, value) in usual + parameters { try check(XGBoosterSetParam(booster, name, value)) }
        for round in 0..<rounds { try check(XGBoosterUpdateOneIter(booster, Int32(round), data)) }
        var length: bst_ulong = 0
        var bytes: UnsafePointer<CChar>?
        try check(XGBoosterSaveModelToBuffer(booster, "{\"format\":\"json\"}", &length, &bytes))
        let model = UnsafeRawBufferPointer(start: bytes, count: Int(length)).map { $0 }
        try check(XGBoosterFree(booster))
        try check(XGDMatrixFree(data))
        return model
    }

    private static func check(_ status: Int32) throws {
        guard status == 0 else { throw BenchmarkFailure(description: String(cString: XGBGetLastError())) }
    }
}

struct BenchmarkFailure: Error, CustomStringConvertible {
    let description: String
}
