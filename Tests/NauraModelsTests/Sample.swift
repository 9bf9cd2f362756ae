import NauraModels
import NauraRules

/// Made-up customers with numbers, texts, nulls, and a label that follows from them with some noise. The same on every
/// machine.
struct Sample {
    static let inputs = [
        ModelInput(name: "tenure", type: .number), ModelInput(name: "contract", type: .text),
        ModelInput(name: "charge", type: .number), ModelInput(name: "payment", type: .text),
        ModelInput(name: "senior", type: .number),
    ]

    private(set) var rows: [[CellValue]] = []
    private(set) var labels: [Bool] = []

    init(rows count: Int, seed: UInt64 = 1) {
        var random = SplitMix64(seed: seed)
        let contracts = ["Month-to-month", "One year", "Two year", "été \"special\""]
        let payments = (0..<6).map { "method \($0)" }
        for _ in 0..<count {
            let tenure = Double(random.next() % 72)
            let contract = contracts[Int(random.next() % 4)]
            let charge = random.nextUnit() * 100 + 18.25
            let risk = (contract == "Month-to-month" ? 0.45 : 0.1) + (tenure < 12 ? 0.3 : 0) + charge / 500
            rows.append([
                random.nextUnit() < 0.05 ? .null : .number(tenure), random.nextUnit() < 0.03 ? .null : .text(contract),
                random.nextUnit() < 0.1 ? .null : .number(charge), .text(payments[Int(random.next() % 6)]),
                .number(Double(random.next() % 2)),
            ])
            labels.append(random.nextUnit() < risk)
        }
    }

    func matrix(_ encoder: FeatureEncoder) -> TrainingMatrix {
        var matrix = TrainingMatrix(width: encoder.width)
        for (row, label) in zip(rows, labels) { matrix.append(row, isPositive: label, encoder: encoder) }
        return matrix
    }

    static let parameters: [(name: String, value: String)] = [
        ("max_depth", "4"), ("eta", "0.1"), ("seed", "7"), ("subsample", "0.8"), ("colsample_bytree", "0.8"),
    ]

    /// A trained package over `count` rows.
    static func package(rows count: Int = 800, rounds: Int = 20) async throws -> ModelPackage {
        let sample = Sample(rows: count)
        let encoder = try FeatureEncoder.fit(inputs, rows: sample.rows)
        let json = try await XGBoostTrainer(rounds: rounds, parameters: parameters).train(sample.matrix(encoder))
        var reference = ReferenceFit(inputs, categoriesMax: 64)
        for row in sample.rows { reference.add(row) }
        return try ModelPackage(
            model: json, encoder: encoder, reference: reference.reference(scores: [0.1, 0.2, 0.3]),
            samples: sample.rows)
    }
}

/// `text` with the first occurrence of `old` replaced.
func replacing(_ old: String, by new: String, in bytes: [UInt8]) -> [UInt8] {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let range = text.firstRange(of: old) else { return bytes }
    return Array(text.replacingCharacters(range, new).utf8)
}

extension String {
    fileprivate func replacingCharacters(_ range: Range<Index>, _ new: String) -> String {
        String(self[..<range.lowerBound]) + new + String(self[range.upperBound...])
    }
}
