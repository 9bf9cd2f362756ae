public import NauraRules

/// Turns a row of named features into the numbers that the trees see. Fitted on the training rows, part of the package.
///
/// A number becomes one float32 column; null, and what no finite float32 holds, becomes NaN, which the trees take as
/// missing. A text becomes one column a category seen in training, the most frequent ones up to a limit: 1 for its own and
/// 0 for the others; null and an unknown category are 0 everywhere.
public struct FeatureEncoder: Sendable, Equatable {
    /// One feature and the columns it becomes.
    public struct Column: Sendable, Equatable {
        /// The feature.
        public let input: ModelInput
        /// Of a text feature, its categories in byte order; empty for a number.
        public let categories: [String]
        /// The first column of the encoded row.
        let offset: Int
        let slots: [Category: Int]
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
            var slots: [Category: Int] = [:]
            for (slot, category) in feature.categories.enumerated() {
                guard slots.updateValue(slot, forKey: Category(category)) == nil else {
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

    /// The categories that get a column: the `limit` most frequent, equal counts by byte order; in byte order.
    static func frequentCategories(_ counts: [Category: Int], limit: Int) -> [String] {
        counts.sorted { $0.value != $1.value ? $0.value > $1.value : bytesPrecede($0.key.text, $1.key.text) }
            .prefix(limit).map(\.key.text).sorted(by: bytesPrecede)
    }

    /// An encoder of the categories that `rows` hold; their order does not matter.
    ///
    /// - Throws: ``ModelFault`` when a row does not have the types of `inputs`.
    public static func fit(
        _ inputs: [ModelInput], rows: [[CellValue]], categoriesMax: Int = 64
    ) throws(ModelFault) -> FeatureEncoder {
        var fit = try FeatureEncoderFit(inputs, categoriesMax: categoriesMax)
        for row in rows { try fit.add(row) }
        return try fit.encoder()
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
                if case .text(let value) = row[position], let slot = column.slots[Category(value)] {
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

/// Counts the categories of the training rows one row after another, so that the rows need not be in memory.
public struct FeatureEncoderFit: Sendable {
    private let signature: ModelSignature
    private let categoriesMax: Int
    private var counts: [[Category: Int]]

    /// Starts with no rows. `categoriesMax` is the most columns that one text feature gets.
    ///
    /// - Throws: ``ModelFault`` when an input stands twice.
    public init(_ inputs: [ModelInput], categoriesMax: Int) throws(ModelFault) {
        self.categoriesMax = categoriesMax
        signature = try ModelSignature(inputs)
        counts = .init(repeating: [:], count: inputs.count)
    }

    /// Adds one row in the order of the inputs.
    ///
    /// - Throws: ``ModelFault`` when its types are not those of the inputs.
    public mutating func add(_ row: [CellValue]) throws(ModelFault) {
        try signature.check(row)
        for position in row.indices {
            if case .text(let category) = row[position] { counts[position][Category(category), default: 0] += 1 }
        }
    }

    /// The encoder of what was added.
    public func encoder() throws(ModelFault) -> FeatureEncoder {
        try FeatureEncoder(
            signature.inputs.indices.map { position in
                let input = signature.inputs[position]
                let categories = FeatureEncoder.frequentCategories(counts[position], limit: categoriesMax)
                return (input, input.type == .text ? categories : [])
            })
    }
}

/// A text that equals another only byte by byte. Swift's own equality takes a composed and a decomposed é for one, so
/// which of them became a category would depend on the order of the rows.
struct Category: Hashable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: Category, right: Category) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

/// Byte order of UTF-8, the order in which everything that is hashed is sorted.
func bytesPrecede(_ left: String, _ right: String) -> Bool {
    left.utf8.lexicographicallyPrecedes(right.utf8)
}
