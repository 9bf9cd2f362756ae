import NauraModels
import NauraRules
import Testing

@testable import NauraServing

/// Reads `row` by `columns`, and hands over its cells.
private func withRow<R>(
    _ row: String, _ columns: ColumnTable, _ body: (UnsafeMutableBufferPointer<Cell>, JSONReader) throws -> R
) throws -> R {
    try Array(row.utf8).withUnsafeBufferPointer { bytes in
        var reader = JSONReader(bytes)
        return try withUnsafeTemporaryAllocation(of: Cell.self, capacity: columns.width) { cells in
            try RowReader(columns: columns).read(&reader, into: cells, row: 0)
            try reader.end()
            return try body(cells, reader)
        }
    }
}

@Suite("Rows of a request")
struct RowTests {
    private let columns = ColumnTable(
        features: ServingSample.inputs, unit: "visit", key: "customerid", other: ["newcomer", "tenure"])

    private func fault(_ row: String) -> String? {
        do {
            try withRow(row, columns) { _, _ in }
            return nil
        } catch let refusal as Refusal {
            #expect(refusal.status == 400)
            return refusal.message
        } catch {
            return "\(error)"
        }
    }

    @Test("a row encodes to the very bits that the model's own encoder writes")
    func parity() async throws {
        let model = try await ServingSample.package().served()
        let encoder = RowEncoder(model.encoder)
        var random = SplitMix64(seed: 5)
        let texts = ServingSample.contracts + ["", "unknown", "é\u{301}", "été special", "One yea", "One year "]
        for _ in 0..<2_000 {
            let number = Double(bitPattern: random.next())
            let charge: CellValue = number.isFinite && abs(number) < 3e38 ? .number(number) : .null
            let contract: CellValue = random.next() % 9 == 0 ? .null : .text(texts[Int(random.next() % 10)])
            let values: [CellValue] = [.number(Double(random.next() % 100)), contract, charge, .number(1)]
            var row: [UInt8] = Array("{".utf8)
            for (position, value) in values.enumerated() {
                if position > 0 { row.append(0x2C) }
                row.appendJSON(ServingSample.inputs[position].name)
                row.append(0x3A)
                switch value {
                case .null: row.append("null")
                case .number(let number): row.appendShortest(number)
                case .text(let text): row.appendJSON(text)
                }
            }
            row.append(0x7D)
            let expected = [UInt32](unsafeUninitializedCapacity: encoder.width) { buffer, count in
                buffer.withMemoryRebound(to: Float.self) {
                    model.encoder.encode(values, into: UnsafeMutableBufferPointer(rebasing: $0[0..<encoder.width]))
                }
                count = encoder.width
            }
            let found = try withRow(String(decoding: row, as: UTF8.self), columns) { cells, reader in
                [UInt32](unsafeUninitializedCapacity: encoder.width) { buffer, count in
                    buffer.withMemoryRebound(to: Float.self) {
                        encoder.encode(cells, reader, into: UnsafeMutableBufferPointer(rebasing: $0[0..<encoder.width]))
                    }
                    count = encoder.width
                }
            }
            #expect(
                found.map { Float(bitPattern: $0).isNaN ? 0x7FC0_0000 : $0 }
                    == expected.map { Float(bitPattern: $0).isNaN ? 0x7FC0_0000 : $0 })
        }
    }

    @Test("an escaped text finds its category, and escaped names their columns")
    func escapes() throws {
        let row = #"{"\u0074enure":1,"contract":"\u00e9t\u00e9 \"special\"","charge":2,"senior":true}"#
        let kinds = try withRow(row, columns) { cells, _ in cells.map(\.kind) }
        #expect(kinds == [.number, .escapedText, .number, .yes, .absent, .absent])
    }

    @Test("unit, key and null are permitted, and what the other arm knows")
    func permitted() throws {
        let row =
            #"{"visit":"v1","customerid":7,"newcomer":[1,{"a":2}],"senior":null,"charge":null,"contract":null,"tenure":null}"#
        let (unit, key) = try withRow(row, columns) { cells, reader in
            (reader.identity(cells[4]), reader.identity(cells[5]))
        }
        #expect(unit == "v1")
        #expect(key == "7")
    }

    @Test("a missing column, an extra one, one there twice and one of another type are named")
    func named() {
        #expect(fault(#"{"tenure":1,"contract":"a","charge":2}"#) == "the column senior is missing (instance 0)")
        #expect(fault(#"{"tenure":1,"tenur":2}"#) == "the model has no column tenur (instance 0)")
        #expect(fault(#"{"tenure":1,"tenure":2}"#) == "the column tenure stands twice (instance 0)")
        #expect(
            fault(#"{"tenure":"1","contract":"a","charge":2,"senior":0}"#)
                == "the column tenure is a number, found text (instance 0)")
        #expect(
            fault(#"{"tenure":1,"contract":2,"charge":2,"senior":0}"#)
                == "the column contract is text, found a number (instance 0)")
        #expect(
            fault(#"{"tenure":[1],"contract":"a","charge":2,"senior":0}"#)
                == "the column tenure is one value, found a list or an object (instance 0)")
        #expect(
            fault(#"{"tenure":1e39,"contract":"a","charge":2,"senior":0}"#)
                == "the column tenure holds a number beyond a float32 (instance 0)")
        #expect(fault("7") == "instance 0 is neither an object by feature name nor an array")
    }

    @Test("an array is read in the order of the signature, and its length is checked")
    func arrays() throws {
        let kinds = try withRow(#"[1,"a",2,null]"#, columns) { cells, _ in cells.map(\.kind) }
        #expect(kinds == [.number, .text, .number, .null, .absent, .absent])
        #expect(fault("[1]") == "instance 0 has 1 values, the model takes 4 in the order of its inputs")
        #expect(fault(#"[1,"a",2,3,4]"#) == "instance 0 has more than 4 values")
    }

    @Test("a long name from a body is not sent back whole")
    func shortened() {
        let message = fault("{\"\(String(repeating: "x", count: 5_000))\":1}") ?? ""
        #expect(message.count < 200)
    }
}
