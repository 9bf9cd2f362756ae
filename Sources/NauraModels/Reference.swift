public import NauraRules

/// How inputs and scores were spread in training, in bins that never change: what drift is measured against.
///
/// The bins are part of the package, so windows can be added up, and one outlier in live traffic moves no edge.
public struct Reference: Sendable, Equatable {
    /// Bins of a number or of the score, the one for missing values apart.
    public static let binsMax = 10

    /// How one column is cut. In each case the last bin is for what is missing.
    public enum Bins: Sendable, Equatable {
        /// Ascending cuts: bin i holds the values at or above i of them and below the next. One bin more than cuts.
        case edges([Double])
        /// One bin a value, ascending; then one for any other number.
        case values([Double])
        /// One bin a category in byte order; then one for any other text.
        case categories([String])
    }

    /// One column: its bins, and how many rows of the training set fell into each.
    public struct Column: Sendable, Equatable {
        /// The input's name; `score` for the scores.
        public let name: String
        /// Number or text.
        public let type: FeatureType
        /// How the column is cut.
        public let bins: Bins
        /// Rows in each bin; ``binCount`` numbers.
        public let counts: [Int]

        /// Bins in all, other and missing included.
        public var binCount: Int { Self.count(bins) }

        static func count(_ bins: Bins) -> Int {
            switch bins {
            case .edges(let edges): edges.count + 2
            case .values(let values): values.count + 2
            case .categories(let categories): categories.count + 2
            }
        }

        /// The bin of `value`. A number that is not finite, or of the wrong type, is missing, as for the trees.
        public func bin(of value: CellValue) -> Int {
            switch (bins, value) {
            case (.edges(let edges), .number(let number)) where number.isFinite:
                return Self.position(of: number, in: edges) { $0 <= $1 }
            case (.values(let values), .number(let number)) where number.isFinite:
                let position = Self.position(of: number, in: values) { $0 < $1 }
                return position < values.count && values[position] == number ? position : values.count
            case (.categories(let categories), .text(let text)):
                let position = Self.position(of: text, in: categories, bytesPrecede)
                return position < categories.count && !bytesPrecede(text, categories[position])
                    ? position : categories.count
            default:
                return binCount - 1
            }
        }

        /// What each bin holds, for people: `< 12`, `12 … 24`, `≥ 24`, `Two year`, `other`, `missing`.
        public var labels: [String] {
            switch bins {
            case .edges(let edges):
                let words = edges.map(JSONValue.decimal)
                guard let first = words.first, let last = words.last else { return ["any", "missing"] }
                return ["< \(first)"] + zip(words, words.dropFirst()).map { "\($0) … \($1)" } + [
                    "≥ \(last)", "missing",
                ]
            case .values(let values): return values.map(JSONValue.decimal) + ["other", "missing"]
            case .categories(let categories): return categories + ["other", "missing"]
            }
        }

        /// Entries at the front of `sorted` for which `isBefore` holds against `value`.
        private static func position<T>(of value: T, in sorted: [T], _ isBefore: (T, T) -> Bool) -> Int {
            var low = 0
            var high = sorted.count
            while low < high {
                let middle = (low + high) / 2
                if isBefore(sorted[middle], value) { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    /// The inputs in the order of the signature.
    public let columns: [Column]
    /// The scores of rows that the trees were not trained on.
    public let scores: Column

    /// Columns by name, the score apart.
    public func column(_ name: String) -> Column? { columns.first { $0.name == name } }
}

// MARK: - Fitting

/// Collects the values of the training rows, then cuts them into bins.
///
/// Keeps 8 bytes a number and one count a distinct text.
public struct ReferenceFit: Sendable {
    private let inputs: [ModelInput]
    private let categoriesMax: Int
    private var numbers: [[Double]]
    private var texts: [[Category: Int]]
    private var rows = 0

    /// Starts with no rows. `categoriesMax` is the most bins that one text feature gets, other and missing apart.
    public init(_ inputs: [ModelInput], categoriesMax: Int) {
        self.inputs = inputs
        self.categoriesMax = categoriesMax
        numbers = .init(repeating: [], count: inputs.count)
        texts = .init(repeating: [:], count: inputs.count)
    }

    /// Adds one row in the order of the inputs.
    public mutating func add(_ row: [CellValue]) {
        rows += 1
        for position in inputs.indices {
            switch row[position] {
            case .number(let number) where number.isFinite: numbers[position].append(number)
            case .text(let text): texts[position][Category(text), default: 0] += 1
            default: break
            }
        }
    }

    /// The bins and counts. `scores` are the model's answers for rows that it was not trained on.
    public func reference(scores: [Double]) -> Reference {
        let columns = inputs.indices.map { position in
            inputs[position].type == .number
                ? Self.numberColumn(inputs[position].name, numbers[position], missing: rows - numbers[position].count)
                : textColumn(position)
        }
        let finite = scores.filter(\.isFinite)
        return Reference(
            columns: columns, scores: Self.scoreColumn(finite, missing: scores.count - finite.count))
    }

    private static func numberColumn(_ name: String, _ values: [Double], missing: Int) -> Reference.Column {
        let sorted = values.sorted()
        var distinct: [Double] = []
        for value in sorted where distinct.last != value {
            distinct.append(value)
            if distinct.count > Reference.binsMax { break }
        }
        let bins: Reference.Bins =
            distinct.count <= Reference.binsMax ? .values(distinct) : .edges(quantileEdges(sorted))
        return column(name, .number, bins, sorted, missing)
    }

    private static func scoreColumn(_ values: [Double], missing: Int) -> Reference.Column {
        let sorted = values.sorted()
        return column("score", .number, .edges(quantileEdges(sorted)), sorted, missing)
    }

    private static func column(
        _ name: String, _ type: FeatureType, _ bins: Reference.Bins, _ values: [Double], _ missing: Int
    ) -> Reference.Column {
        let empty = Reference.Column(
            name: name, type: type, bins: bins, counts: .init(repeating: 0, count: Reference.Column.count(bins)))
        var counts = empty.counts
        for value in values { counts[empty.bin(of: .number(value))] += 1 }
        counts[counts.count - 1] += missing
        return Reference.Column(name: name, type: type, bins: bins, counts: counts)
    }

    /// The values at each tenth of the sorted ones, equal cuts once, none at the minimum (its first bin would be empty).
    private static func quantileEdges(_ sorted: [Double]) -> [Double] {
        var edges: [Double] = []
        for tenth in 1..<Reference.binsMax where !sorted.isEmpty {
            let value = sorted[tenth * sorted.count / Reference.binsMax]
            if value > edges.last ?? sorted[0] { edges.append(value) }
        }
        return edges
    }

    private func textColumn(_ position: Int) -> Reference.Column {
        let categories = FeatureEncoder.frequentCategories(texts[position], limit: categoriesMax)
        let bins = Reference.Bins.categories(categories)
        let known = categories.map { texts[position][Category($0)] ?? 0 }
        let all = texts[position].values.reduce(0, +)
        return Reference.Column(
            name: inputs[position].name, type: .text, bins: bins,
            counts: known + [all - known.reduce(0, +), rows - all])
    }
}
