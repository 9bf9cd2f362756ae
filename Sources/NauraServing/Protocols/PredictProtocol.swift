import NIOCore

/// `POST /v1/models/NAME:predict`, as KServe V1 and TensorFlow Serving's row form have it.
///
/// `{"instances": [{"tenure": 12, …}, …]}` → `{"predictions": [0.12, …], …}`. Read and written byte by byte: this is the
/// gateway's busiest path.
extension Gateway {
    /// What the instances of a body came to, before the rest of the body was read.
    private struct Pending {
        let choice: Choice
        var exchange: Exchange
        var rows = 0
        var isError = false
    }

    /// Answers a :predict request. Nothing is counted or recorded of a request that throws.
    ///
    /// - Throws: ``Refusal`` for what the client did wrong, ``JSONFault`` for a body that is no JSON.
    func predict(_ call: Call, body: ByteBuffer) throws -> Answer {
        try body.withUnsafeReadableBytes { raw in
            var pending = try readPredictBody(call, bytes: raw.assumingMemoryBound(to: UInt8.self))
            var scratch = pending.exchange.takeScratch()
            settle(call, pending.choice, scratch, rows: pending.rows, isError: pending.isError)
            if pending.isError {
                giveBack(consume scratch)
                return modelFailed(call, pending.choice)
            }
            Self.closePredictAnswer(pending.choice, rows: pending.rows, out: &scratch.out)
            let answer = Answer(
                body: ByteBuffer(bytes: scratch.out), prediction: (pending.choice.id, pending.choice.arm))
            giveBack(consume scratch)
            return answer
        }
    }

    private func readPredictBody(_ call: Call, bytes: UnsafeBufferPointer<UInt8>) throws -> Pending {
        var reader = JSONReader(bytes)
        guard try reader.peek() == 0x7B else {
            throw Refusal.malformed("expected an object with the field instances")
        }
        reader.position += 1
        var pending: Pending?
        if try !reader.take(0x7D) {
            repeat {
                let name = try reader.name()
                guard reader.matches(name, "instances") else {
                    _ = try reader.skipValue()
                    continue
                }
                guard pending == nil else { throw Refusal.malformed("the field instances stands twice") }
                guard try reader.peek() == 0x5B else { throw Refusal.malformed("the field instances is not a list") }
                pending = try readInstances(call, &reader)
            } while try reader.takeNext(orEnd: 0x7D)
        }
        try reader.end()
        guard let pending else { throw Refusal.malformed("the field instances is missing") }
        return pending
    }

    /// Takes the list of instances, scores each, and writes `{"predictions":[0.12,…` into the scratch.
    private func readInstances(_ call: Call, _ reader: inout JSONReader) throws -> Pending {
        let start = reader
        let choice = try choose(call) { UnitFinder.unit(in: start, columns: call.route.champion?.columns) }
        let columns = choice.arm.columns
        var pending = Pending(
            choice: choice,
            exchange: exchange(choice))
        pending.exchange.scratch.out.append("{\"predictions\":[")
        reader.position += 1
        if try reader.take(0x5D) { return pending }
        try withUnsafeTemporaryAllocation(of: Cell.self, capacity: columns.width) { cells in
            while true {
                try choice.arm.rows.read(&reader, into: cells, row: pending.rows)
                let isLast = try !reader.takeNext(orEnd: 0x5D)
                if pending.rows == 0, pending.exchange.unit == nil, let position = columns.unitPosition {
                    pending.exchange.unit = reader.identity(cells[position])
                }
                let row = isLast && pending.rows == 0 ? nil : pending.rows
                pending.rows += 1
                // A request fails as a whole: the rows after the first without an answer are only checked.
                if !pending.isError { score(cells, reader, row: row, &pending) }
                if isLast { return }
            }
        }
        return pending
    }

    @inline(__always)
    private func score(
        _ cells: UnsafeMutableBufferPointer<Cell>, _ reader: JSONReader, row: Int?, _ pending: inout Pending
    ) {
        let score = pending.exchange.score(cells, reader)
        guard score.isFinite else {
            pending.isError = true
            pending.exchange.scratch.records.removeAll(keepingCapacity: true)
            pending.exchange.scratch.ends.removeAll(keepingCapacity: true)
            pending.exchange.record(cells, reader, score: nil, row: row)
            return
        }
        if let row, row > 0 { pending.exchange.scratch.out.append(0x2C) }
        pending.exchange.scratch.out.appendShortest(score)
        pending.exchange.record(cells, reader, score: score, row: row)
    }

    /// Appends what follows the scores: model, version, arm, and an id a row.
    private static func closePredictAnswer(_ choice: Choice, rows: Int, out: inout [UInt8]) {
        out.append(contentsOf: choice.arm.answerTail)
        if rows == 1 {
            choice.id.append(to: &out, row: nil)
        } else {
            for row in 0..<rows {
                if row > 0 { out.append(0x2C) }
                choice.id.append(to: &out, row: row)
            }
        }
        out.append("]}")
    }
}

/// Looks for the unit in a body before the arm is known whose columns the rows are read by.
enum UnitFinder {
    /// The unit column of the first of the instances that begin at `reader`; nil when it is not there.
    ///
    /// Says nothing about faults of the body: whoever reads the rows does.
    static func unit(in reader: JSONReader, columns: ColumnTable?) -> String? {
        guard let columns, let position = columns.unitPosition else { return nil }
        do { return try find(reader, columns: columns, position: position) } catch { return nil }
    }

    private static func find(_ start: JSONReader, columns: ColumnTable, position: Int) throws -> String? {
        var reader = start
        guard try reader.take(0x5B) else { return nil }
        switch try reader.peek() {
        case 0x7B:
            reader.position += 1
            var next = 0
            guard try !reader.take(0x7D) else { return nil }
            repeat {
                let column = columns.column(try reader.name(), in: reader, hint: next)
                if column == .position(position) { return try reader.cell().flatMap { reader.identity($0) } }
                if case .position(let found) = column { next = found + 1 }
                _ = try reader.skipValue()
            } while try reader.takeNext(orEnd: 0x7D)
        case 0x5B:
            reader.position += 1
            for _ in 0..<position {
                _ = try reader.skipValue()
                guard try reader.takeNext(orEnd: 0x5D) else { return nil }
            }
            return try reader.cell().flatMap { reader.identity($0) }
        default: break
        }
        return nil
    }
}
