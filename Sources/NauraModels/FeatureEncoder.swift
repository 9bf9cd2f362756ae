public import NauraRules

/// Turns a row of named features into the numbers that the trees see. Fitted on the training rows, part of the package.
///
/// A number becomes one float32 column; null, and what no finite float32 holds, becomes NaN, which the trees take as
/// missing. A text becomes one column a category seen in training, at most ``categoriesMax``: 1 for its own and 0 for
/// the others; null and an unknown category are 0 everywhere.
public struct FeatureEncoder: Sendable, Equatable {
    /// Categories kept of one text feature: the most frequent, equal counts by byte order.
    public static let categoriesMax = 50

    /// One feature and the columns it becomes.
    public struct Column: Sendable, Equatable {
        /// The feature.
        public let input: ModelInput
        /// Of a text feature, its categories in byte order; empty for a number.
        public let categories: [String]
        /// The first column of the encoded row.
        let offset: Int
        let slots: [String: Int]
    }

    /// The features in the order of the rows.
    public let columns: [Column]
    /// Numbers in an encoded row.
    public let width: Int
    /// The features, as a row of them is checked.
    public let signature: ModelSignature

    /// An encoder of known features and categories.
    ///
    /// - Throws: ``ModelFault`` when a feature or a category stands twice.
    public init(_ features: [(input: ModelInput, categories: [String])]) throws(ModelFault) {
        var columns: [Column] = []
        var offset = 0
        for feature in features {
            var slots: [String: Int] = [:]
            for (slot, category) in feature.categories.enumerated() {
                guard slots.updateValue(slot, forKey: category) == nil else {
                    throw ModelFault(.malformed, "the category \(category) of \(feature.input.name) stands twice")
                }
            }
            columns.append(
                Column(input: feature.input, categories: feature.categories, offset: offset, slots: slots))
            offset += feature.input.type == .number ? 1 : feature.categories.count
        }
        self.columns = columns
        self.width = offset
        self.signature = try ModelSignature(columns.map(\.input))
    }

    /// An encoder of the categories that `rows` hold.
    ///
    /// The order of the rows does not matter: the same rows in another order give the same encoder.
    /// - Throws: ``ModelFault`` when a row does not have the types of `inputs`.
    public static func fit(_ inputs: [ModelInput], rows: [[CellValue]]) throws(ModelFault) -> FeatureEncoder {
        let signature = try ModelSignature(inputs)
        var counts = [[String: Int]](repeating: [:], count: inputs.count)
        for row in rows {
            try signature.check(row)
            for position in inputs.indices where inputs[position].type == .text {
                if case .text(let category) = row[position] { counts[position][category, default: 0] += 1 }
            }
        }
        return try FeatureEncoder(
            inputs.indices.map { position in
                let frequent = counts[position]
                    .sorted { $0.value != $1.value ? $0.value > $1.value : bytesPrecede($0.key, $1.key) }
                    .prefix(categoriesMax)
                return (inputs[position], frequent.map(\.key).sorted(by: bytesPrecede))
            })
    }

    /// Writes the encoded `row` into `target`, which holds ``width`` numbers.
    ///
    /// The row has the types of ``signature``; a value of another type counts as missing.
    public func encode(_ row: borrowing [CellValue], into target: UnsafeMutableBufferPointer<Float>) {
        precondition(row.count == columns.count && target.count == width, "a row or target of another shape")
        for position in columns.indices {
            let column = columns[position]
            switch column.input.type {
            case .number:
                target[column.offset] = Self.missing
                if case .number(let value) = row[position] {
                    let narrow = Float(value)
                    if narrow.isFinite { target[column.offset] = narrow }
                }
            case .text:
                for slot in 0..<column.categories.count { target[column.offset + slot] = 0 }
                if case .text(let value) = row[position], let slot = column.slots[value] {
                    target[column.offset + slot] = 1
                }
            }
        }
    }

    /// The encoded columns' names: `tenure`, `contract=Two year`.
    public var encodedNames: [String] {
        columns.flatMap { column in
            column.input.type == .number
                ? [column.input.name] : column.categories.map { "\(column.input.name)=\($0)" }
        }
    }

    private static let missing = Float.nan
}

/// Byte order of UTF-8, the order in which everything that is hashed is sorted.
func bytesPrecede(_ left: String, _ right: String) -> Bool {
    left.utf8.lexicographicallyPrecedes(right.utf8)
}
