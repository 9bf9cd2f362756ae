import NauraModels
import NauraRules

/// Turns a row's cells into the numbers that the trees see, straight from the body's bytes.
///
/// The same numbers as `FeatureEncoder` writes: a number, a boolean as 0 or 1, NaN for a missing one; of a text one
/// column a category, texts compared byte by byte. A test holds both against each other.
struct RowEncoder: Sendable {
    private struct Column: Sendable {
        let offset: Int
        let isNumber: Bool
        /// Where the column's categories stand in `starts`.
        let firstCategory: Int
        let categories: Int
    }

    /// Numbers in an encoded row.
    let width: Int
    private let columns: [Column]
    /// All categories' UTF-8, one after another, and where each begins.
    private let bytes: [UInt8]
    private let starts: [Int32]

    init(_ encoder: FeatureEncoder) {
        var columns: [Column] = []
        var bytes: [UInt8] = []
        var starts: [Int32] = [0]
        var offset = 0
        for column in encoder.columns {
            let isNumber = column.input.type == .number
            columns.append(
                Column(
                    offset: offset, isNumber: isNumber, firstCategory: starts.count - 1,
                    categories: column.categories.count))
            for category in column.categories {
                bytes.append(contentsOf: category.utf8)
                starts.append(Int32(bytes.count))
            }
            offset += isNumber ? 1 : column.categories.count
        }
        precondition(offset == encoder.width, "the encoder's columns and its width differ")
        (self.columns, self.bytes, self.starts, self.width) = (columns, bytes, starts, offset)
    }

    /// Writes the checked row `cells`, whose bytes `reader` reads, into `target`, which holds ``width`` numbers.
    @inline(__always)
    func encode(
        _ cells: UnsafeMutableBufferPointer<Cell>, _ reader: JSONReader, into target: UnsafeMutableBufferPointer<Float>
    ) {
        for position in columns.indices {
            let column = columns[position]
            let cell = cells[position]
            if column.isNumber {
                target[column.offset] = Float(cell.number)
                continue
            }
            for slot in 0..<column.categories { target[column.offset + slot] = 0 }
            switch cell.kind {
            case .text:
                let text = UnsafeBufferPointer(rebasing: reader.bytes[Int(cell.start)..<Int(cell.end)])
                if let slot = category(text, of: column) { target[column.offset + slot] = 1 }
            case .escapedText:
                let text = JSONReader.Text(start: Int(cell.start), end: Int(cell.end), isEscaped: true)
                let slot = reader.unescaped(text).withUnsafeBufferPointer { category($0, of: column) }
                if let slot { target[column.offset + slot] = 1 }
            default: break
            }
        }
    }

    @inline(__always)
    private func category(_ text: UnsafeBufferPointer<UInt8>, of column: Column) -> Int? {
        for slot in 0..<column.categories {
            let start = Int(starts[column.firstCategory + slot])
            guard Int(starts[column.firstCategory + slot + 1]) - start == text.count else { continue }
            var index = 0
            while index < text.count, bytes[start + index] == text[index] { index += 1 }
            if index == text.count { return slot }
        }
        return nil
    }
}
