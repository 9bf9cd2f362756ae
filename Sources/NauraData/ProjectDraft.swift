import NauraRules

/// The text of a new project's files.
struct ProjectDraft {
    let name: String
    let request: ProjectWriter.Request
    let survey: Survey

    var contractText: String {
        let contract = ContractInference.contract(
            survey.profile, key: request.key, moments: request.timestamp.map { [$0] } ?? [], label: request.label,
            labelValues: survey.labelClasses.map(\.value).sorted())
        var remarks: [String: String] = [:]
        for column in survey.profile.columns {
            if let remark = remark(column) { remarks[column.name] = remark }
        }
        return ContractFile.write(contract, dataset: name, remarks: remarks)
    }

    /// What the first file held, as a help for whoever tightens the contract.
    private func remark(_ column: ColumnProfile) -> String? {
        if column.name == request.label { return nil }
        switch column.type {
        case .integer, .number:
            guard let low = column.minimum, let high = column.maximum else { return nil }
            return "seen: \(CellValue.number(low)) … \(CellValue.number(high))"
        case .timestamp:
            guard let low = column.minimum, let high = column.maximum else { return nil }
            return "seen: \(Timestamp.text(Int64(low * 1_000_000))) … \(Timestamp.text(Int64(high * 1_000_000)))"
        case .text where column.distinct > 0 && column.distinct <= 10:
            return "seen: \(column.top.map { Self.onOneLine($0.value) }.joined(separator: ", "))"
        case .text, .boolean: return nil
        }
    }

    var projectText: String {
        let column = YAMLText.key(request.key)
        let classes = survey.labelClasses.map { "\(Self.onOneLine($0.value)) (\($0.count) rows)" }
        let timestamp = request.timestamp.map { YAMLText.key($0) } ?? "arrival            # or a column"
        return """
            # What this project wants. `naura apply` checks this file whole and records it as a version; nothing is applied
            # unless all of it is right. Made from \(Self.onOneLine(request.source)); edit it as you like.
            project: \(name)
            datasets:
              \(name):
                key: \(column)
                timestamp: \(timestamp)
                contract: contracts/\(name).yaml
            feature-views:
              \(name):
                entity: \(column)
                dataset: \(name)
                # A feature is a column or an expression: spend: charges / nullif(months, 0)
                features:
            \(featureLines.joined(separator: "\n"))
            models:
              \(name):
                # The rarer class is positive: \(classes.joined(separator: ", ")).
                label: { dataset: \(name), column: \(YAMLText.key(request.label)), \
            positive: \(YAMLText.quoted(survey.positive)) }
                features: [\(name)]
                holdout: \(YAMLText.percent(survey.holdoutShare))                  # by a hash of the key: an entity never moves sides
                trainer: { kind: xgboost, rounds: 200, max-depth: 4, learning-rate: 0.1, seed: 7 }
                retrain: { on: [new-data, code-merged, drift-alert], quiet-period: 2s, cooldown: 0s }
                promote: { metric: roc-auc, margin: 0.01 }
                # Without traffic no canary can end, so a version that passed serves everyone at once. With traffic:
                # rollout: { steps: [5%, 25%, 50%, 100%], bake: 10m, unit: \(column) }
                rollout: { steps: [100%] }
                monitor: { window: 1h }

            """
    }

    private var featureLines: [String] {
        survey.choices.map { choice in
            let key = YAMLText.key(choice.column)
            if let reason = choice.reason { return "      # \(key): \(Self.onOneLine(reason))" }
            let source = FeatureExpression.column(choice.column).source
            return "      \(key): \(YAMLText.isPlain(source) ? source : YAMLText.singleQuoted(source))"
        }
    }

    /// `text` cut and without line ends: it stands in a comment.
    private static func onOneLine(_ text: String) -> String {
        let isPrintable = { (scalar: Unicode.Scalar) in scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value) }
        return String(String.UnicodeScalarView(text.unicodeScalars.filter(isPrintable)).prefix(60))
    }
}
