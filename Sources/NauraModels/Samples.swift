import NauraRules

/// Rows with the answers that the trainer saw: `samples.json`.
///
/// A score stands twice: as the shortest decimal for people and other tools, and as its bits, which decide.
struct Samples: Sendable {
    let rows: [[CellValue]]
    let scores: [Float]

    init(rows: [[CellValue]], scores: [Float]) {
        precondition(rows.count == scores.count, "a score for each row")
        self.rows = rows
        self.scores = scores
    }

    init(parsing bytes: [UInt8], signature: ModelSignature) throws(ModelFault) {
        let file = try JSONValue(parsing: bytes, of: "samples.json")
        guard try file.texts("columns") == signature.inputs.map(\.name) else {
            throw ModelFault(.malformed, "samples.json and encoder.json name different columns")
        }
        var rows: [[CellValue]] = []
        for values in try file.array("rows") {
            guard case .array(let values) = values else {
                throw ModelFault(.malformed, "samples.json: a row is no list")
            }
            var row: [CellValue] = []
            for value in values { row.append(try CellValue(value)) }
            try signature.check(row)
            rows.append(row)
        }
        var scores: [Float] = []
        for bits in try file.texts("bits") {
            guard bits.utf8.count == 8, let pattern = UInt32(bits, radix: 16) else {
                throw ModelFault(.malformed, "samples.json: `\(bits)` is no float32 in eight hexadecimal digits")
            }
            scores.append(Float(bitPattern: pattern))
        }
        guard !rows.isEmpty, rows.count == scores.count else {
            throw ModelFault(.malformed, "samples.json holds \(rows.count) rows and \(scores.count) answers")
        }
        self.init(rows: rows, scores: scores)
    }

    func canonicalBytes(_ signature: ModelSignature) -> [UInt8] {
        let rows = rows.map { row in JSONValue.array(row.map(JSONValue.init(_:))) }
        let decimals = scores.map { $0.isFinite ? JSONValue.number(Double($0.description) ?? 0) : .null }
        let bits = scores.map { score in
            let digits = String(score.bitPattern, radix: 16)
            return JSONValue.text(String(repeating: "0", count: 8 - digits.count) + digits)
        }
        return JSONValue.object([
            "columns": .array(signature.inputs.map { .text($0.name) }), "rows": .array(rows),
            "scores": .array(decimals), "bits": .array(bits),
        ]).canonicalBytes()
    }
}
