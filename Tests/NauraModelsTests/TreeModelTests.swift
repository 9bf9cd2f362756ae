import Foundation
@testable import NauraModels
import NauraRules
import Testing

@Suite struct TreeModelTests {
    @Test(
        "the walk over flat arrays answers what the library answers, bit for bit",
        arguments: ["0.5", "0.3", "0.9"])
    func equalsLibrary(baseScore: String) async throws {
        let sample = Sample(rows: 3_000)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let json = try await XGBoostTrainer(
            rounds: 60, parameters: Sample.parameters + [("base_score", baseScore), ("max_depth", "6")]
        ).train(sample.matrix(encoder))
        let trees = try TreeModel(json: json)
        // Other rows than those of the training, with categories and numbers that it has not seen.
        var asked = TrainingMatrix(width: encoder.width)
        for row in Sample(rows: 4_000, seed: 9).rows { asked.append(row, isPositive: false, encoder: encoder) }
        asked.append([.null, .null, .null, .null, .null], isPositive: false, encoder: encoder)
        asked.append([-5, "never seen", 1e30, "", 0.5], isPositive: false, encoder: encoder)
        let library = try Booster.scores(model: json, values: asked.values, width: encoder.width)
        let walked = asked.values.withUnsafeBufferPointer { values in
            (0..<asked.rows).map { row in
                trees.score(
                    UnsafeBufferPointer(rebasing: values[(row * encoder.width)..<((row + 1) * encoder.width)]))
            }
        }
        #expect(zip(library, walked).count { $0.bitPattern != $1.bitPattern } == 0)
        #expect(library.count == 4_002)
        #expect(trees.origin.trees == 60)
        #expect(trees.origin.writer == Booster.libraryVersion)
    }

    @Test("a file that names its best iteration is answered with the trees up to it")
    func honoursBestIteration() async throws {
        let sample = Sample(rows: 400)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let matrix = sample.matrix(encoder)
        let long = try await XGBoostTrainer(rounds: 20, parameters: Sample.parameters).train(matrix)
        let short = try await XGBoostTrainer(rounds: 6, parameters: Sample.parameters).train(matrix)
        let marked = replacing(#""attributes":{}"#, by: #""attributes":{"best_iteration":"5"}"#, in: long)
        #expect(marked != long)
        let imported = try ModelImport.normalised(marked)
        #expect(imported.origin.trees == 6)
        #expect(imported.notes.count == 1)
        let width = encoder.width
        #expect(
            try Booster.scores(model: marked, values: matrix.values, width: width)
                == Booster.scores(model: short, values: matrix.values, width: width))
        let row = Array(matrix.values[..<width])
        let (one, other) = (try TreeModel(json: marked), try TreeModel(json: short))
        #expect(row.withUnsafeBufferPointer { one.score($0) } == row.withUnsafeBufferPointer { other.score($0) })
    }

    @Test("a base score that stands as a list is rewritten as a number; unequal ones are refused")
    func normalisesBaseScore() async throws {
        let sample = Sample(rows: 400)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let matrix = sample.matrix(encoder)
        let json = try await XGBoostTrainer(
            rounds: 5, parameters: Sample.parameters + [("base_score", "0.25")]
        ).train(matrix)
        let list = replacing(#""base_score":"2.5E-1""#, by: #""base_score":"[2.5E-1]""#, in: json)
        #expect(list != json)
        #expect(throws: ModelFault.self) {
            try Booster.scores(model: list, values: matrix.values, width: encoder.width)
        }
        let imported = try ModelImport.normalised(list)
        #expect(
            try Booster.scores(model: imported.json, values: matrix.values, width: encoder.width)
                == Booster.scores(model: json, values: matrix.values, width: encoder.width))
        let unequal = replacing(#""base_score":"2.5E-1""#, by: #""base_score":"[2.5E-1,1E-1]""#, in: json)
        let fault = #expect(throws: ModelFault.self) { try ModelImport.normalised(unequal) }
        #expect(fault?.code == .unsupported)
    }

    @Test(
        "what cannot be answered exactly is refused with the reason",
        arguments: [
            (#""name":"gbtree""#, #""name":"dart""#, "booster"),
            (#""num_class":"0""#, #""num_class":"3""#, "outputs"),
            (#""name":"binary:logistic""#, #""name":"count:poisson""#, "objective"),
            (#""split_type":[0"#, #""split_type":[1"#, "categorical"),
        ])
    func refusesOtherModels(old: String, new: String, word: String) async throws {
        let json = try await Sample.package(rows: 100, rounds: 2).bytes(of: "model.json")
        let changed = replacing(old, by: new, in: json)
        #expect(changed != json)
        let fault = #expect(throws: ModelFault.self) { try TreeModel(json: changed) }
        #expect(fault?.code == .unsupported)
        #expect(fault?.message.contains(word) == true)
    }

    @Test("UBJ and cut-off files are refused before the library sees them")
    func refusesUBJ() async throws {
        let ubj: [UInt8] = [UInt8(ascii: "{"), UInt8(ascii: "L"), 0, 0, 0, 0, 0, 0, 0, 7]
        #expect(throws: ModelFault.self) { try ModelImport.normalised(ubj) }
        #expect(throws: ModelFault.self) { try ModelImport.normalised([]) }
        let json = try await Sample.package(rows: 100, rounds: 2).bytes(of: "model.json")
        for length in stride(from: 1, to: json.count, by: 97) {
            #expect(throws: ModelFault.self) { try TreeModel(json: Array(json[..<length])) }
        }
    }

    @Test("trees whose children point back or outside are refused")
    func refusesCycles() async throws {
        let json = try await Sample.package(rows: 100, rounds: 2).bytes(of: "model.json")
        for start in ["0", "99999", "-7"] {
            let changed = replacing(#""left_children":[1"#, by: #""left_children":["# + start, in: json)
            #expect(changed != json)
            #expect(throws: ModelFault.self) { try TreeModel(json: changed) }
        }
    }
}

@Suite struct JSONScannerTests {
    private func float(_ text: String) throws(ModelFault) -> Float {
        try JSONScanner.scan(Array(text.utf8), of: "test") { scanner throws(ModelFault) in
            let value = try scanner.float()
            try scanner.end()
            return value
        }
    }

    @Test("every float32 comes back from its shortest text and from nine digits, bit for bit")
    func readsFloats() throws {
        var random = SplitMix64(seed: 3)
        for _ in 0..<20_000 {
            let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            guard value.isFinite else { continue }
            #expect(try float("\(value)").bitPattern == value.bitPattern)
            #expect(try float("\(Double(value))").bitPattern == value.bitPattern)
        }
        // A decimal just above the middle of two floats: rounding by way of a double would go down.
        #expect(try float("1.00000005960464477540") == Float(1).nextUp)
        #expect(try float("1.000000059604644775390625") == 1)
    }

    @Test("NaN and the infinities are numbers, as XGBoost writes them")
    func readsWords() throws {
        #expect(try float("NaN").isNaN)
        #expect(try float("Infinity") == .infinity)
        #expect(try float("-Infinity") == -.infinity)
        #expect(try float("5E-1") == 0.5)
        #expect(try float("-2.6490873E-1") == -0.26490873)
    }

    @Test(
        "broken texts are refused, not trapped on",
        arguments: ["", "-", "1e", ".", "{", "[1", "\"", "\"\\u12\"", "tru", "[1 2]"])
    func refuses(text: String) {
        #expect(throws: ModelFault.self) { try JSONValue(parsing: Array(text.utf8), of: "test") }
    }

    @Test("nesting without end is refused")
    func refusesDepth() {
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 100_000)
        #expect(throws: ModelFault.self) { try JSONValue(parsing: deep, of: "test") }
    }

    @Test("canonical bytes read back as the same value")
    func roundTrips() throws {
        let value = JSONValue.object([
            "b": .array([.number(0.1), .number(-3), .number(1e300), .null, .bool(true)]),
            "a": .text("line\nquote\" back\\slash é 😀"),
        ])
        let bytes = value.canonicalBytes()
        #expect(try JSONValue(parsing: bytes, of: "test") == value)
        #expect(String(decoding: bytes, as: UTF8.self).hasPrefix("{\"a\":"))
        #expect(try JSONValue(parsing: Array("\"\\ud83d\\ude00\"".utf8), of: "test") == .text("😀"))
    }
}

@Suite struct ExampleDataTests {
    /// The first monthly file of the example: 20 columns and the label, `totalcharges` blank for new customers.
    private static func customers() throws -> (inputs: [ModelInput], rows: [[CellValue]], labels: [Bool]) {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "examples/churn/data/january.csv"), encoding: .utf8)
        let lines = text.split(separator: "\n").map {
            $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let numbers: Set = ["seniorcitizen", "tenure", "monthlycharges", "totalcharges"]
        let inputs = lines[0].dropFirst().dropLast().map {
            ModelInput(name: $0, type: numbers.contains($0) ? .number : .text)
        }
        let rows = lines.dropFirst().map { fields in
            zip(inputs, fields.dropFirst()).map { input, field -> CellValue in
                if input.type == .number { return Double(field).map(CellValue.number) ?? .null }
                return field.isEmpty ? .null : .text(field)
            }
        }
        return (inputs, rows, lines.dropFirst().map { $0.last == "Yes" })
    }

    @Test("on the example's customers, missing and unknown values included, the walk equals the library bit for bit")
    func equalsLibrary() async throws {
        let (inputs, rows, labels) = try Self.customers()
        let half = rows.count / 2
        let encoder = try FeatureEncoder.fit(inputs, rows: Array(rows[..<half]))
        var training = TrainingMatrix(width: encoder.width)
        for index in 0..<half { training.append(rows[index], isPositive: labels[index], encoder: encoder) }
        let json = try await XGBoostTrainer(
            rounds: 100, parameters: [("max_depth", "6"), ("eta", "0.1"), ("seed", "7"), ("base_score", "0.28")]
        ).train(training)
        var asked = TrainingMatrix(width: encoder.width)
        for row in rows {
            asked.append(row, isPositive: false, encoder: encoder)
            asked.append(row.map { $0.text == nil ? .null : "unseen" }, isPositive: false, encoder: encoder)
        }
        let library = try Booster.scores(model: json, values: asked.values, width: encoder.width)
        let trees = try TreeModel(json: json)
        let walked = asked.values.withUnsafeBufferPointer { values in
            (0..<asked.rows).map { row in
                trees.score(
                    UnsafeBufferPointer(rebasing: values[(row * encoder.width)..<((row + 1) * encoder.width)]))
            }
        }
        #expect(zip(library, walked).count { $0.bitPattern != $1.bitPattern } == 0)
        #expect(rows.joined().contains { $0.isNull })
        #expect(library.count == 2 * rows.count)
    }
}
