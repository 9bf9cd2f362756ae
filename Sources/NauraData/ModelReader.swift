import NauraRules

/// Reads one entry of `models`.
struct ModelReader {
    private let name: String
    private let mapping: YAMLMapping
    private let project: ProjectDefinition

    init(_ name: String, _ mapping: YAMLMapping, _ project: ProjectDefinition) {
        self.name = name
        self.mapping = mapping
        self.project = project
    }

    func read() -> ModelDefinition {
        let label = readLabel()
        let views = readViews(label)
        var model = ModelDefinition(name: name, label: label, features: views.map(\.name))
        model.holdoutShare = mapping.share("holdout", 0.01...0.9) ?? model.holdoutShare
        if let trainer = mapping.mapping("trainer") { model.trainer = TrainerReader.read(trainer) }
        if let code = mapping.mapping("code") { model.code = PolicyReader.code(code) }
        if let retrain = mapping.mapping("retrain") { model.retrain = PolicyReader.retrain(retrain) }
        if let promote = mapping.mapping("promote") {
            model.promote = PolicyReader.promote(promote, slices: sliceNames(views, label))
        }
        if let rollout = mapping.mapping("rollout") { model.rollout = RolloutReader.read(rollout) }
        if let monitor = mapping.mapping("monitor") { model.monitor = PolicyReader.monitor(monitor) }
        model.notify = readChannels()
        mapping.refuseOthers()
        return model
    }

    private func readLabel() -> LabelDefinition {
        var label = LabelDefinition(dataset: "", column: "")
        guard let mapping = mapping.mapping("label", isRequired: true) else { return label }
        label.dataset = mapping.reference("dataset", to: "dataset", among: project.datasets.keys) ?? ""
        label.column = mapping.text("column", isRequired: true, expected: "a column of the dataset") ?? ""
        label.positive = mapping.text("positive")
        mapping.refuseOthers()
        guard let contract = project.datasets[label.dataset]?.contract, !contract.columns.isEmpty, !label.column.isEmpty
        else { return label }
        guard let rule = contract.column(label.column) else {
            _ = mapping.value("column")?.reference(
                label.column, to: "column of dataset '\(label.dataset)'", among: contract.columns.map(\.name))
            return label
        }
        if let positive = label.positive.map({ Cell.canonicalText($0, type: rule.type) }) {
            label.positive = positive
            if let values = rule.values, !values.map({ Cell.canonicalText($0, type: rule.type) }).contains(positive) {
                mapping.fault(
                    "positive", found: "'\(positive)'",
                    expected: "one of the values that the contract allows: \(values.joined(separator: ", "))")
            }
        }
        return label
    }

    private func readViews(_ label: LabelDefinition) -> [FeatureViewDefinition] {
        guard let value = mapping.value("features", isRequired: true, expected: "a list of feature views") else {
            return []
        }
        let names = value.scalar.map { _ in [value] } ?? value.list() ?? []
        if names.isEmpty, value.isList { value.fault(found: "an empty list", expected: "feature views") }
        var views: [FeatureViewDefinition] = []
        var owners: [String: String] = [:]
        for element in names {
            guard let name = element.scalar else {
                element.fault(expected: "the name of a feature view")
                continue
            }
            guard element.reference(name, to: "feature view", among: project.featureViews.keys) != nil,
                let view = project.featureViews[name]
            else { continue }
            if views.contains(where: { $0.name == name }) {
                element.fault(found: "'\(name)' a second time", expected: "each view once")
                continue
            }
            views.append(view)
            for feature in view.features {
                if let owner = owners.updateValue(name, forKey: feature.name) {
                    element.fault(
                        found: "feature '\(feature.name)' in views '\(owner)' and '\(name)'",
                        expected: "one feature of each name in a model")
                }
                if view.dataset == label.dataset, feature.expression.referencedColumns.contains(label.column) {
                    element.fault(
                        found: "feature '\(feature.name)', which reads the label column '\(label.column)'",
                        expected: "features that are known before the label is")
                }
            }
        }
        return views
    }

    private func sliceNames(_ views: [FeatureViewDefinition], _ label: LabelDefinition) -> [String] {
        views.flatMap { $0.features.map(\.name) }
            + (project.datasets[label.dataset]?.contract.columns.map(\.name) ?? [])
    }

    private func readChannels() -> [String] {
        guard let value = mapping.value("notify") else { return [] }
        let elements = value.scalar.map { _ in [value] } ?? value.list() ?? []
        return elements.compactMap { element in
            guard let name = element.scalar else {
                element.fault(expected: "the name of a channel")
                return nil
            }
            return element.reference(name, to: "channel under notify", among: project.notify.keys)
        }
    }
}

/// Reads `trainer`.
enum TrainerReader {
    static func read(_ mapping: YAMLMapping) -> TrainerDefinition {
        var parameters = XGBoostParameters()
        let kind = mapping.text("kind") ?? "xgboost"
        if kind == "command" || kind == "container" {
            mapping.fault("kind", found: "'\(kind)', which is not supported yet", expected: "xgboost")
            return .xgboost(parameters)
        }
        if kind != "xgboost" { mapping.fault("kind", found: "'\(kind)'", expected: "xgboost") }
        parameters.rounds = mapping.integer("rounds", 1...100_000) ?? parameters.rounds
        parameters.maxDepth = mapping.integer("max-depth", 1...50) ?? parameters.maxDepth
        parameters.learningRate = mapping.number("learning-rate", 1e-6...1) ?? parameters.learningRate
        parameters.seed = mapping.integer("seed", 0...Int(Int32.max)) ?? parameters.seed
        parameters.subsample = mapping.share("subsample", 0.01...1) ?? parameters.subsample
        parameters.colsampleByTree = mapping.share("colsample-by-tree", 0.01...1) ?? parameters.colsampleByTree
        parameters.minChildWeight = mapping.number("min-child-weight", 0...1e9) ?? parameters.minChildWeight
        parameters.gamma = mapping.number("gamma", 0...1e9) ?? parameters.gamma
        parameters.lambda = mapping.number("lambda", 0...1e9) ?? parameters.lambda
        parameters.alpha = mapping.number("alpha", 0...1e9) ?? parameters.alpha
        parameters.maxBins = mapping.integer("max-bins", 2...65_536) ?? parameters.maxBins
        parameters.earlyStoppingRounds = mapping.integer("early-stopping-rounds", 1...100_000)
        parameters.validationShare = mapping.share("validation-share", 0...0.9) ?? parameters.validationShare
        parameters.categoriesMax = mapping.integer("categories-max", 1...10_000) ?? parameters.categoriesMax
        mapping.refuseOthers()
        return .xgboost(parameters)
    }
}
