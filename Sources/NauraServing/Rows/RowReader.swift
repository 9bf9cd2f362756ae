import NauraModels
import NauraRules

/// Reads one row of a request into cells, by the names or in the order of the model's columns.
struct RowReader {
    let columns: ColumnTable

    /// Takes a row: an object by feature name, or an array in the order of the signature.
    ///
    /// `cells` holds `columns.width` cells and is written whole. `row` counts from 0, for messages.
    /// - Throws: ``Refusal`` 400 that names the column which is missing, unknown, there twice, or of another type;
    ///   ``JSONFault`` where the body is no JSON.
    func read(_ reader: inout JSONReader, into cells: UnsafeMutableBufferPointer<Cell>, row: Int) throws {
        for position in 0..<columns.width { cells[position] = .absent }
        switch try reader.peek() {
        case 0x7B: try readObject(&reader, into: cells, row: row)
        case 0x5B: try readArray(&reader, into: cells, row: row)
        default:
            _ = try reader.skipValue()
            throw Refusal.malformed("instance \(row) is neither an object by feature name nor an array")
        }
        try check(cells, reader, row: row)
    }

    /// Checks presence and types of a row's features.
    func check(_ cells: UnsafeMutableBufferPointer<Cell>, _ reader: JSONReader, row: Int) throws {
        for position in columns.features.indices {
            let cell = cells[position]
            switch (cell.kind, columns.features[position].type) {
            case (.null, _), (.text, .text), (.escapedText, .text), (.yes, .number), (.no, .number): continue
            case (.number, .number):
                // Beyond a float32 the trees know no order, and the library refuses infinity.
                guard abs(cell.number) <= Double(Float.greatestFiniteMagnitude) else {
                    throw Refusal.malformed(
                        "the column \(columns.name(of: position)) holds a number beyond a float32\(place(row))")
                }
            case (.absent, _):
                throw Refusal.malformed("the column \(columns.name(of: position)) is missing\(place(row))")
            case (_, .number):
                throw Refusal.malformed(
                    "the column \(columns.name(of: position)) is a number, found \(reader.found(cell))\(place(row))")
            case (_, .text):
                throw Refusal.malformed(
                    "the column \(columns.name(of: position)) is text, found \(reader.found(cell))\(place(row))")
            }
        }
    }

    @inline(__always)
    private func readObject(
        _ reader: inout JSONReader, into cells: UnsafeMutableBufferPointer<Cell>, row: Int
    ) throws {
        reader.position += 1
        if try reader.take(0x7D) { return }
        var next = 0
        repeat {
            let name = try reader.name()
            switch columns.column(name, in: reader, hint: next) {
            case .position(let position):
                guard cells[position].kind == .absent else {
                    throw Refusal.malformed("the column \(columns.name(of: position)) stands twice\(place(row))")
                }
                guard let cell = try reader.cell() else {
                    throw Refusal.malformed(
                        "the column \(columns.name(of: position)) is one value, found a list or an object\(place(row))")
                }
                cells[position] = cell
                next = position + 1
            case .ignored: _ = try reader.skipValue()
            case .unknown: throw Refusal.malformed("the model has no column \(shown(name, reader))\(place(row))")
            }
        } while try reader.takeNext(orEnd: 0x7D)
    }

    private func readArray(
        _ reader: inout JSONReader, into cells: UnsafeMutableBufferPointer<Cell>, row: Int
    ) throws {
        reader.position += 1
        var count = 0
        if try !reader.take(0x5D) {
            repeat {
                guard count < columns.features.count else {
                    throw Refusal.malformed("instance \(row) has more than \(columns.features.count) values")
                }
                guard let cell = try reader.cell() else {
                    throw Refusal.malformed("instance \(row) holds a list or an object where a value should be")
                }
                cells[count] = cell
                count += 1
            } while try reader.takeNext(orEnd: 0x5D)
        }
        guard count == columns.features.count else {
            throw Refusal.malformed(
                "instance \(row) has \(count) values, the model takes \(columns.features.count) in the order of its inputs"
            )
        }
    }

    /// A name from a request in an answer: whole if short, so that a body cannot be sent back through an error.
    private func shown(_ name: JSONReader.Text, _ reader: JSONReader) -> String {
        let whole = reader.string(name)
        return whole.count <= 100 ? whole : String(whole.prefix(100)) + "…"
    }

    private func place(_ row: Int) -> String { " (instance \(row))" }
}
