import NauraRules

/// Reads one entry of `datasets`.
struct DatasetReader {
    private let name: String
    private let mapping: YAMLMapping
    private let contracts: ContractShelf

    init(_ name: String, _ mapping: YAMLMapping, _ contracts: ContractShelf) {
        self.name = name
        self.mapping = mapping
        self.contracts = contracts
    }

    func read() -> DatasetDefinition {
        let key = mapping.text("key", isRequired: true, expected: "the column that names the entity")
        let timestamp = source("timestamp", words: ["arrival": TimestampSource.arrival]) { .column($0) } ?? .arrival
        let created =
            source("created", words: ["event": .event, "arrival": .arrival]) { CreatedSource.column($0) } ?? .event
        let contract = readContract()
        mapping.refuseOthers()
        if let contract {
            check("key", key, contract)
            for (field, column) in [("timestamp", timestamp.column), ("created", created.column)] {
                guard let column, let rule = check(field, column, contract) else { continue }
                if rule.type == .text || rule.type == .boolean {
                    mapping.fault(
                        field, found: "column '\(column)' of type \(rule.type)",
                        expected: "a column of type timestamp, or integer for seconds since the epoch")
                }
            }
        }
        return DatasetDefinition(
            name: name, key: key ?? "", timestamp: timestamp, created: created, contract: contract ?? Contract())
    }

    /// A word, a column's name, or `{ column: name }` for a column that is called like a word.
    private func source<T>(_ field: String, words: [String: T], column: (String) -> T) -> T? {
        let expected = "\(words.keys.sorted().joined(separator: ", ")) or a column"
        guard let value = mapping.value(field) else { return nil }
        if let text = value.scalar { return words[text] ?? column(text) }
        guard value.isMapping, let inner = value.mapping() else {
            value.fault(expected: expected)
            return nil
        }
        let name = inner.text("column", isRequired: true, expected: "a column")
        inner.refuseOthers()
        return name.map(column)
    }

    /// The rule of a column that must be in the contract.
    @discardableResult
    private func check(_ field: String, _ column: String?, _ contract: Contract) -> ColumnRule? {
        guard let column else { return nil }
        if let rule = contract.column(column) { return rule }
        _ = mapping.value(field)?.reference(column, to: "column of the contract", among: contract.columns.map(\.name))
        return nil
    }

    private func readContract() -> Contract? {
        guard let value = mapping.value("contract", isRequired: true, expected: "the path of a contract file") else {
            return nil
        }
        guard let path = value.scalar else {
            value.fault(expected: "the path of a contract file")
            return nil
        }
        do throws(ProjectFaults) {
            return try contracts.contract(path)
        } catch {
            for fault in error.faults { value.fault(found: "'\(path)': \(fault.found)", expected: fault.expected) }
            return nil
        }
    }
}

/// Reads one entry of `feature-views`.
struct FeatureViewReader {
    private let name: String
    private let mapping: YAMLMapping
    private let datasets: [String: DatasetDefinition]

    init(_ name: String, _ mapping: YAMLMapping, _ datasets: [String: DatasetDefinition]) {
        self.name = name
        self.mapping = mapping
        self.datasets = datasets
    }

    func read() -> FeatureViewDefinition {
        let entity = mapping.text("entity", isRequired: true, expected: "what a row is about, such as customer")
        let datasetName = mapping.reference("dataset", to: "dataset", among: datasets.keys)
        let dataset = datasetName.flatMap { datasets[$0] }
        let ttl = mapping.seconds("ttl")
        var features: [FeatureDefinition] = []
        for (name, value) in mapping.entries("features", isRequired: true) {
            if let feature = feature(name, value, dataset) { features.append(feature) }
        }
        if mapping.has("features"), features.isEmpty, mapping.sheet.faults.isEmpty {
            mapping.fault("features", found: "no feature", expected: "at least one")
        }
        mapping.refuseOthers()
        // A ttl of 0 means, as in Feast, no limit.
        return FeatureViewDefinition(
            name: name, entity: entity ?? "", joinKey: dataset?.key ?? "", dataset: datasetName ?? "",
            ttlSeconds: ttl == 0 ? nil : ttl, features: features)
    }

    private func feature(_ name: String, _ value: YAMLValue, _ dataset: DatasetDefinition?) -> FeatureDefinition? {
        guard let source = value.scalar else {
            value.fault(expected: "an expression over the dataset's columns")
            return nil
        }
        do throws(RulesError) {
            let expression = try FeatureExpression.parse(source)
            guard let dataset, !dataset.contract.columns.isEmpty else {
                return FeatureDefinition(name: name, expression: expression, type: .number)
            }
            let columns = dataset.contract.columns
            var isKnown = true
            for column in expression.referencedColumns where dataset.contract.column(column) == nil {
                _ = value.reference(column, to: "column of dataset '\(dataset.name)'", among: columns.map(\.name))
                isKnown = false
            }
            guard isKnown else { return nil }
            var types: [String: FeatureType] = [:]
            for column in columns { types[column.name] = column.type.featureType }
            let type = try expression.type(givenColumns: types)
            return FeatureDefinition(name: name, expression: expression, type: type)
        } catch {
            value.fault(found: "'\(source)': \(error)", expected: "an expression such as charges / nullif(months, 0)")
            return nil
        }
    }
}

/// Reads one entry of `notify`.
enum ChannelReader {
    static func read(_ value: YAMLValue) -> NotifyChannel? {
        if value.scalar == "log" { return .log }
        guard let mapping = value.mapping() else { return nil }
        defer { mapping.refuseOthers() }
        switch mapping.word("kind", among: ["webhook": "webhook", "log": "log"], isRequired: true) {
        case "webhook"?:
            guard let url = mapping.text("url", isRequired: true, expected: "an http or https address") else {
                return nil
            }
            if url.hasPrefix("http://") || url.hasPrefix("https://") { return .webhook(url: url) }
            mapping.fault("url", found: "'\(url)'", expected: "an http or https address")
            return nil
        case "log"?: return .log
        default:
            _ = mapping.value("url")
            return nil
        }
    }
}
