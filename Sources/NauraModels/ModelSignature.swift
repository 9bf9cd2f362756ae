public import NauraRules

/// One named input of a model.
public struct ModelInput: Sendable, Hashable {
    /// The feature's name, as the project file gives it.
    public let name: String
    /// Number or text; every input may also be null, which means missing.
    public let type: FeatureType

    /// Names an input and its type.
    public init(name: String, type: FeatureType) {
        self.name = name
        self.type = type
    }
}

/// The named inputs of a model, in the order in which rows are scored.
public struct ModelSignature: Sendable, Equatable {
    /// The inputs in order.
    public let inputs: [ModelInput]
    private let positions: [String: Int]

    /// A signature of `inputs`.
    ///
    /// - Throws: ``ModelFault`` when a name stands twice.
    public init(_ inputs: [ModelInput]) throws(ModelFault) {
        var positions: [String: Int] = [:]
        for (position, input) in inputs.enumerated() {
            guard positions.updateValue(position, forKey: input.name) == nil else {
                throw ModelFault(.malformed, "the input \(input.name) stands twice", column: input.name)
            }
        }
        self.inputs = inputs
        self.positions = positions
    }

    /// The inputs of a model over `views`: their features one view after another, in file order.
    ///
    /// - Throws: ``ModelFault`` `untrainable` when two views have a feature of the same name.
    public static func over(_ views: [FeatureViewDefinition]) throws(ModelFault) -> ModelSignature {
        let inputs = views.flatMap { $0.features.map { ModelInput(name: $0.name, type: $0.type) } }
        guard Set(inputs.map(\.name)).count == inputs.count else {
            throw ModelFault(
                .untrainable, "two of the views \(views.map(\.name).joined(separator: ", ")) have a feature of one name"
            )
        }
        return try ModelSignature(inputs)
    }

    /// Where `name` stands in a row, or nil when the model has no such input.
    public func position(of name: String) -> Int? { positions[name] }

    /// What to do with columns that the model does not know.
    public enum ExtraColumns: Sendable {
        case refuse, ignore
    }

    /// Orders named values as the model scores them.
    ///
    /// Null is a missing value; a name that is absent is an error, so that a misspelled column is noticed.
    /// The first fault in the order of the signature is reported, extra columns last.
    /// - Throws: ``ModelFault`` that names the missing, unknown or wrongly typed column.
    public func row(
        from named: [String: CellValue], extra: ExtraColumns = .refuse
    ) throws(ModelFault) -> [CellValue] {
        var row: [CellValue] = []
        row.reserveCapacity(inputs.count)
        for input in inputs {
            guard let value = named[input.name] else {
                throw ModelFault(.missingColumn, "the column \(input.name) is missing", column: input.name)
            }
            try check(value, for: input)
            row.append(value)
        }
        if extra == .refuse, named.count > inputs.count {
            let unknown = named.keys.filter { positions[$0] == nil }.min() ?? ""
            throw ModelFault(
                .unknownColumn,
                "the model has no column \(unknown); it takes \(inputs.map(\.name).joined(separator: ", "))",
                column: unknown)
        }
        return row
    }

    /// Checks the number and the types of a row that is already in order.
    ///
    /// - Throws: ``ModelFault`` that names the first column concerned.
    public func check(_ row: [CellValue]) throws(ModelFault) {
        guard row.count == inputs.count else {
            throw ModelFault(.malformed, "a row has \(row.count) values, the model takes \(inputs.count)")
        }
        for position in row.indices {
            try check(row[position], for: inputs[position])
        }
    }

    private func check(_ value: CellValue, for input: ModelInput) throws(ModelFault) {
        switch (value, input.type) {
        case (.null, _), (.number, .number), (.text, .text): return
        case (.number, .text):
            throw ModelFault(.wrongType, "the column \(input.name) is text, found a number", column: input.name)
        case (.text, .number):
            throw ModelFault(.wrongType, "the column \(input.name) is a number, found text", column: input.name)
        }
    }
}
