import NauraEvents
import NauraModels
import NIOCore

/// Buffers of one request, used again by the next.
struct Scratch {
    /// The answer's body.
    var out: [UInt8] = []
    /// Prediction records, one after another.
    var records: [UInt8] = []
    /// Where each record ends.
    var ends: [Int] = []

    mutating func clear() {
        out.removeAll(keepingCapacity: true)
        records.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }

    /// Larger buffers are let go of, so that one large request does not hold its memory for ever.
    static let keptBytesMax = 64 * 1024

    var isKept: Bool { out.capacity <= Self.keptBytesMax && records.capacity <= 4 * Self.keptBytesMax }
}

/// One request that one arm answers: scores rows, writes their records.
struct Exchange {
    let arm: LoadedArm
    let id: PredictionID
    /// What sticks to the arm, where the request names it.
    var unit: String?
    let wallMicroseconds: Int64
    /// Whether records are written at all.
    let isRecorded: Bool
    var scratch: Scratch

    /// Moves the buffers out, so that they have one owner.
    mutating func takeScratch() -> Scratch {
        var taken = Scratch()
        swap(&taken, &scratch)
        return taken
    }

    /// The arm's answer for a checked row; not finite where the model has none.
    @inline(__always)
    func score(_ cells: UnsafeMutableBufferPointer<Cell>, _ reader: JSONReader) -> Float {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: arm.encoder.width) { encoded in
            arm.encoder.encode(cells, reader, into: encoded)
            return arm.model.score(encoded: UnsafeBufferPointer(encoded))
        }
    }

    /// Writes the record of a row. `row` is nil for the only row of a request; `score` is nil for an error answer.
    mutating func record(
        _ cells: UnsafeMutableBufferPointer<Cell>, _ reader: JSONReader, score: Float?, row: Int?
    ) {
        guard isRecorded else { return }
        scratch.records.append("{\"prediction_id\":")
        id.append(to: &scratch.records, row: row)
        if let unit {
            scratch.records.append(",\"unit\":")
            scratch.records.appendJSON(unit)
        }
        scratch.records.append(contentsOf: arm.recordHead)
        let columns = arm.columns
        for position in columns.features.indices {
            let cell = cells[position]
            columns.appendRecordName(position, to: &scratch.records)
            switch cell.kind {
            case .yes: scratch.records.append(0x31)
            case .no: scratch.records.append(0x30)
            case .absent: scratch.records.append("null")
            case .number, .null: append(reader, Int(cell.start)..<Int(cell.end))
            // With the quotes on both sides.
            case .text, .escapedText: append(reader, Int(cell.start) - 1..<Int(cell.end) + 1)
            }
        }
        scratch.records.append("},\"score\":")
        if let score { scratch.records.appendShortest(score) } else { scratch.records.append("null") }
        scratch.records.append(",\"at\":")
        scratch.records.appendTime(microseconds: wallMicroseconds)
        scratch.records.append(0x7D)
        scratch.ends.append(scratch.records.count)
    }

    @inline(__always)
    private mutating func append(_ reader: JSONReader, _ range: Range<Int>) {
        scratch.records.append(contentsOf: UnsafeBufferPointer(rebasing: reader.bytes[range]))
    }
}

/// Names one request's predictions: the gateway's boot and a count. Of several rows, each has its number behind.
struct PredictionID: Sendable, Equatable {
    let boot: UInt64
    let number: UInt64

    /// `0123456789abcdef-1f`: what the header says.
    var text: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(40)
        appendBare(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// 16 lower-case hex digits.
    static func hex(_ value: UInt64) -> String {
        var bytes: [UInt8] = []
        bytes.appendHex(value)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the id in quotes: the request's, or that of one of its rows.
    func append(to bytes: inout [UInt8], row: Int?) {
        bytes.append(0x22)
        appendBare(to: &bytes)
        if let row {
            bytes.append(0x2E)
            bytes.appendDecimal(row)
        }
        bytes.append(0x22)
    }

    private func appendBare(to bytes: inout [UInt8]) {
        bytes.appendHex(boot)
        bytes.append(0x2D)
        bytes.appendDecimal(Int(truncatingIfNeeded: number))
    }
}
