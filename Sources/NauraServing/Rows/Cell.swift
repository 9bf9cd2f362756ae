/// One value of a request's row, still as it stands in the body.
struct Cell {
    enum Kind: UInt8 {
        /// The row has no such column.
        case absent
        case null
        case number
        /// A text without escapes: its bytes in the body are its value.
        case text
        /// A text with escapes.
        case escapedText
        case yes, no
    }

    var kind: Kind
    /// The first byte; of a text, the one after the quote.
    var start: Int32
    /// The byte after the last; of a text, the closing quote.
    var end: Int32
    /// The value of a number; 1 and 0 of `true` and `false`.
    var number: Double

    static let absent = Cell(kind: .absent, start: 0, end: 0, number: .nan)
}

extension JSONReader {
    /// Takes a value that can stand in a cell.
    ///
    /// - Returns: nil, having read nothing, when an array or an object stands there.
    @inline(__always)
    mutating func cell() throws(JSONFault) -> Cell? {
        switch try peek() {
        case 0x22:
            let text = try text()
            return Cell(
                kind: text.isEscaped ? .escapedText : .text, start: Int32(truncatingIfNeeded: text.start),
                end: Int32(truncatingIfNeeded: text.end), number: .nan)
        case 0x74:
            try word("true")
            return cell(.yes, count: 4, number: 1)
        case 0x66:
            try word("false")
            return cell(.no, count: 5, number: 0)
        case 0x6E:
            try word("null")
            return cell(.null, count: 4, number: .nan)
        case 0x7B, 0x5B: return nil
        default:
            let number = try number()
            return cell(.number, count: number.end - number.start, number: number.value)
        }
    }

    @inline(__always)
    private func cell(_ kind: Cell.Kind, count: Int, number: Double) -> Cell {
        Cell(
            kind: kind, start: Int32(truncatingIfNeeded: position - count), end: Int32(truncatingIfNeeded: position),
            number: number)
    }

    /// The text, number or word in `cell` as an id is compared: texts by their value, numbers as they are written.
    func identity(_ cell: Cell) -> String? {
        switch cell.kind {
        case .absent, .null: nil
        case .escapedText: string(Text(start: Int(cell.start), end: Int(cell.end), isEscaped: true))
        case .text, .number, .yes, .no: String(decoding: bytes[Int(cell.start)..<Int(cell.end)], as: UTF8.self)
        }
    }

    /// What a person would call the value of `cell`.
    func found(_ cell: Cell) -> String {
        switch cell.kind {
        case .absent: "nothing"
        case .null: "null"
        case .number: "a number"
        case .text, .escapedText: "text"
        case .yes, .no: "a boolean"
        }
    }
}
