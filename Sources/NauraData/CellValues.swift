import NauraRules

extension Cell {
    /// The value that features see, given the type that the column's contract states.
    ///
    /// Null when the cell holds no value or, in a file that was not held against its contract, one of another type.
    @inline(__always)
    public func value(_ field: UnsafeBufferPointer<UInt8>, type: ColumnType) -> CellValue {
        switch type {
        case .text:
            kind == .blank ? .null : .text(String(decoding: Cell.trimmed(field), as: UTF8.self))
        case .integer, .number:
            isNumber ? .number(value) : .null
        case .boolean:
            kind == .boolean || isNumber ? .number(value) : .null
        case .timestamp:
            moment.map { .number(Double($0) / 1_000_000) } ?? .null
        }
    }

    /// The one text of a value, however the file writes it: `1`, `1.0` and `+1` are `1`, `TRUE` is `true`.
    ///
    /// Labels and the values that a contract allows are compared so. Texts are only trimmed.
    public func canonicalText(_ field: UnsafeBufferPointer<UInt8>, type: ColumnType) -> String {
        switch type {
        case .boolean where kind == .boolean || (isNumber && (value == 0 || value == 1)):
            return value == 1 ? "true" : "false"
        case .integer where isNumber, .number where isNumber:
            return CellValue.number(value).description
        case .text, .timestamp, .integer, .number, .boolean:
            return String(decoding: Cell.trimmed(field), as: UTF8.self)
        }
    }

    /// The one text of `text` as a value of `type`.
    public static func canonicalText(_ text: String, type: ColumnType) -> String {
        var text = text
        return text.withUTF8 { read($0).canonicalText($0, type: type) }
    }

    /// The text of a label's cell, or nil when the row has no label.
    public func label(_ field: UnsafeBufferPointer<UInt8>, type: ColumnType) -> String? {
        if kind == .blank || (kind == .nullMark && type != .text) { return nil }
        return canonicalText(field, type: type)
    }
}
