import NIOCore
import NauraEvents
import NauraModels
import NauraRules
import NauraStore

/// `POST /v2/models/NAME[/versions/V]/infer`, the Open Inference Protocol: each column a tensor of one row a value.
extension Gateway {
    /// The name of the one output.
    static let outputName = "score"

    /// An infer request's fields, its tensors still in the body.
    private struct InferRequest {
        var id: JSONReader.Text?
        var inputs: [InferTensor]?
    }

    /// Answers an infer request. Nothing is counted or recorded of a request that throws.
    ///
    /// - Throws: ``Refusal`` for what the client did wrong, ``JSONFault`` for a body that is no JSON.
    func infer(_ call: Call, body: ByteBuffer) throws -> Answer {
        try body.withUnsafeReadableBytes { raw in
            let reader = JSONReader(raw.assumingMemoryBound(to: UInt8.self))
            let request = try Self.readInferRequest(reader)
            guard let inputs = request.inputs, let first = inputs.first else {
                throw Refusal.malformed(
                    request.inputs == nil ? "the field inputs is missing" : "the field inputs is empty")
            }
            let choice = try choose(call) { Self.unit(in: inputs, reader, call) }
            let columns = choice.arm.columns
            let positions = try Self.positions(of: inputs, columns: columns)
            let rows = first.count
            for input in inputs where input.count != rows || input.shape.isEmpty || !input.shape.contains(input.count) {
                throw Refusal.malformed(
                    "the input \(input.name) is not one column of \(rows) rows: its shape is \(input.shape)")
            }
            var cells = [Cell](repeating: .absent, count: rows * columns.width)
            for (input, position) in zip(inputs, positions) {
                guard let position else { continue }
                try input.forEach(reader) { row, cell in cells[row * columns.width + position] = cell }
            }
            return try answer(call, choice, request, reader, cells: &cells, rows: rows)
        }
    }

    private func answer(
        _ call: Call, _ choice: Choice, _ request: InferRequest, _ reader: JSONReader, cells: inout [Cell], rows: Int
    ) throws -> Answer {
        let columns = choice.arm.columns
        var exchange = exchange(choice)
        var scores: [Float] = []
        scores.reserveCapacity(rows)
        var isError = false
        try cells.withUnsafeMutableBufferPointer { cells in
            for row in 0..<rows {
                let cells = UnsafeMutableBufferPointer(
                    rebasing: cells[row * columns.width..<(row + 1) * columns.width])
                try choice.arm.rows.check(cells, reader, row: row)
                if row == 0, exchange.unit == nil, let position = columns.unitPosition {
                    exchange.unit = reader.identity(cells[position])
                }
                if isError { continue }
                let score = exchange.score(cells, reader)
                scores.append(score)
                isError = !score.isFinite
                if isError { exchange.scratch.clear() }
                exchange.record(cells, reader, score: isError ? nil : score, row: rows == 1 ? nil : row)
            }
        }
        settle(call, choice, exchange.scratch, rows: rows, isError: isError)
        giveBack(exchange.takeScratch())
        if isError { return modelFailed(call, choice) }
        var answer = Answer.json { bytes in
            Self.write(scores, of: choice, model: call.route.name, id: request.id.map { reader.string($0) }, to: &bytes)
        }
        answer.prediction = (choice.id, choice.arm)
        return answer
    }

    private static func write(
        _ scores: [Float], of choice: Choice, model: String, id: String?, to bytes: inout [UInt8]
    ) {
        bytes.append("{\"model_name\":")
        bytes.appendJSON(model)
        bytes.append(",\"model_version\":")
        bytes.appendJSON(choice.arm.versionText)
        if let id {
            bytes.append(",\"id\":")
            bytes.appendJSON(id)
        }
        bytes.append(",\"parameters\":{\"arm\":")
        bytes.appendJSON(choice.arm.arm.rawValue)
        bytes.append(",\"prediction_id\":")
        choice.id.append(to: &bytes, row: nil)
        bytes.append("},\"outputs\":[{\"name\":")
        bytes.appendJSON(outputName)
        bytes.append(",\"shape\":[")
        bytes.appendDecimal(scores.count)
        bytes.append("],\"datatype\":\"FP32\",\"data\":[")
        for (row, score) in scores.enumerated() {
            if row > 0 { bytes.append(0x2C) }
            bytes.appendShortest(score)
        }
        bytes.append("]}]}")
    }

    // MARK: - Reading

    private static func readInferRequest(_ start: JSONReader) throws -> InferRequest {
        var reader = start
        var request = InferRequest()
        guard try reader.take(0x7B) else { throw Refusal.malformed("expected an object with the field inputs") }
        if try !reader.take(0x7D) {
            repeat {
                let name = try reader.name()
                switch reader.string(name) {
                case "id":
                    guard try reader.peek() == 0x22 else { throw Refusal.malformed("the field id is not text") }
                    request.id = try reader.text()
                case "inputs":
                    guard request.inputs == nil else { throw Refusal.malformed("the field inputs stands twice") }
                    request.inputs = try inputs(&reader)
                case "outputs": try checkOutputs(&reader)
                default: _ = try reader.skipValue()
                }
            } while try reader.takeNext(orEnd: 0x7D)
        }
        try reader.end()
        return request
    }

    private static func inputs(_ reader: inout JSONReader) throws -> [InferTensor] {
        guard try reader.take(0x5B) else { throw Refusal.malformed("the field inputs is not a list") }
        var inputs: [InferTensor] = []
        guard try !reader.take(0x5D) else { return inputs }
        repeat { inputs.append(try InferTensor.read(&reader)) } while try reader.takeNext(orEnd: 0x5D)
        return inputs
    }

    /// Checks that only the one output is asked for.
    private static func checkOutputs(_ reader: inout JSONReader) throws {
        guard try reader.take(0x5B) else { throw Refusal.malformed("the field outputs is not a list") }
        guard try !reader.take(0x5D) else { return }
        repeat {
            guard try reader.take(0x7B) else { throw Refusal.malformed("an output is not an object") }
            var isNamed = false
            if try !reader.take(0x7D) {
                repeat {
                    let name = try reader.name()
                    guard reader.matches(name, "name"), try reader.peek() == 0x22 else {
                        _ = try reader.skipValue()
                        continue
                    }
                    guard reader.string(try reader.text()) == outputName else {
                        throw Refusal.malformed("the model has one output, \(outputName)")
                    }
                    isNamed = true
                } while try reader.takeNext(orEnd: 0x7D)
            }
            guard isNamed else { throw Refusal.malformed("an output has no name") }
        } while try reader.takeNext(orEnd: 0x5D)
    }

    /// The column of each input; nil for one that the model may ignore. Every feature must be there, once.
    private static func positions(of inputs: [InferTensor], columns: ColumnTable) throws -> [Int?] {
        var isThere = [Bool](repeating: false, count: columns.width)
        let positions = try inputs.map { input -> Int? in
            switch columns.column(named: input.name) {
            case .unknown:
                let name = input.name.count <= 100 ? input.name : String(input.name.prefix(100)) + "…"
                throw Refusal.malformed("the model has no input \(name)")
            case .ignored: return nil
            case .position(let position):
                guard !isThere[position] else { throw Refusal.malformed("the input \(input.name) stands twice") }
                isThere[position] = true
                if position < columns.features.count {
                    let type = columns.features[position].type
                    guard input.type.feature == type else {
                        throw Refusal.malformed(
                            "the column \(input.name) is \(type == .text ? "text, in BYTES" : "a number"), "
                                + "found \(input.type.rawValue)")
                    }
                }
                return position
            }
        }
        for position in columns.features.indices where !isThere[position] {
            throw Refusal.malformed("the column \(columns.name(of: position)) is missing")
        }
        return positions
    }

    /// The first element of the unit column's tensor.
    private static func unit(in inputs: [InferTensor], _ reader: JSONReader, _ call: Call) -> String? {
        guard let column = call.route.route.unit, let input = inputs.first(where: { $0.name == column }) else {
            return nil
        }
        var data = JSONReader(reader.bytes, at: input.data)
        do {
            while try data.take(0x5B) {}
            return try data.cell().flatMap { data.identity($0) }
        } catch {
            return nil
        }
    }
}
