public import NauraRules

/// Encoded rows with their labels, as the trainer takes them: row after row, float32.
public struct TrainingMatrix: Sendable {
    /// Numbers in a row.
    public let width: Int
    /// The rows one after another; NaN is missing.
    public private(set) var values: [Float] = []
    /// 1 for the positive label, 0 for any other; one a row.
    public private(set) var labels: [Float] = []

    /// Rows added so far.
    public var rows: Int { labels.count }

    /// An empty matrix of rows of `width` numbers.
    public init(width: Int) {
        self.width = width
    }

    /// Makes room for `rows` rows.
    public mutating func reserve(_ rows: Int) {
        values.reserveCapacity(rows * width)
        labels.reserveCapacity(rows)
    }

    /// Adds one row through `encoder`, whose width is the matrix's.
    public mutating func append(_ row: [CellValue], isPositive: Bool, encoder: FeatureEncoder) {
        precondition(encoder.width == width, "an encoder of another width")
        let start = values.count
        values.append(contentsOf: repeatElement(0, count: width))
        values.withUnsafeMutableBufferPointer { buffer in
            encoder.encode(row, into: UnsafeMutableBufferPointer(rebasing: buffer[start...]))
        }
        labels.append(isPositive ? 1 : 0)
    }
}
