import NauraRules

/// Contract files: `contracts/<dataset>.yaml`.
///
/// ```yaml
/// extra-columns: allowed         # or refused
/// rows-min: 1
/// columns:
///   id:     { type: text, nullable: false, unique: true }
///   charge: { type: number, max-nulls: 50%, min: 0, max: 1000 }
///   plan:   { type: text, values: [basic, full] }
/// ```
public enum ContractFile {
    /// Reads a contract.
    ///
    /// - Parameter file: the name that faults bear.
    /// - Throws: ``ProjectFaults`` with every fault of the file.
    public static func read(yaml: String, file: String) throws(ProjectFaults) -> Contract {
        let sheet = FaultSheet(file: file)
        let contract = read(yaml: yaml, sheet)
        try sheet.throwIfAny()
        return contract
    }

    /// Reads a contract, collecting faults in `sheet`.
    static func read(yaml: String, _ sheet: FaultSheet) -> Contract {
        guard let document = YAMLDocument.read(yaml, sheet) else { return Contract() }
        let extra = document.word("extra-columns", among: ["allowed": true, "refused": false]) ?? true
        let rowsMin = document.integer("rows-min", 0...Int.max)
        var rules: [ColumnRule] = []
        for (name, column) in document.entries("columns", isRequired: true) {
            guard let column = column.mapping() else { continue }
            rules.append(rule(name, column))
            column.refuseOthers()
        }
        document.refuseOthers()
        return Contract(columns: rules, allowExtraColumns: extra, rowsMin: rowsMin)
    }

    private static func rule(_ name: String, _ column: YAMLMapping) -> ColumnRule {
        let types = Dictionary(uniqueKeysWithValues: ColumnType.allCases.map { ($0.rawValue, $0) })
        var rule = ColumnRule(name: name, type: column.word("type", among: types, isRequired: true) ?? .text)
        rule.required = column.flag("required") ?? true
        rule.nullable = column.flag("nullable") ?? true
        rule.maxNullShare = column.share("max-nulls")
        rule.minimum = column.number("min")
        rule.maximum = column.number("max")
        rule.values = column.texts("values")
        rule.unique = column.flag("unique") ?? false
        if let low = rule.minimum, let high = rule.maximum, low > high {
            column.fault("min", found: "min above max", expected: "min ≤ max")
        }
        return rule
    }

    /// Writes `contract` as a file; `remarks` become comments behind the columns that they name.
    public static func write(_ contract: Contract, dataset: String, remarks: [String: String] = [:]) -> String {
        var lines = [
            "# What a file of dataset \(dataset) must look like. A file that breaks this is refused as data-rejected,",
            "# with the rule, the column, and a few of the values at fault; nothing is trained on it.",
            "# Column keys: type (integer, number, text, boolean, timestamp), required, nullable, max-nulls, min, max, values,",
            "# unique.",
            "extra-columns: \(contract.allowExtraColumns ? "allowed" : "refused")",
        ]
        if let rowsMin = contract.rowsMin { lines.append("rows-min: \(rowsMin)") }
        lines.append("columns:")
        for rule in contract.columns {
            var parts = ["type: \(rule.type)"]
            if !rule.required { parts.append("required: false") }
            if !rule.nullable { parts.append("nullable: false") }
            if let share = rule.maxNullShare { parts.append("max-nulls: \(YAMLText.percent(share))") }
            if let minimum = rule.minimum { parts.append("min: \(CellValue.number(minimum))") }
            if let maximum = rule.maximum { parts.append("max: \(CellValue.number(maximum))") }
            if let values = rule.values {
                parts.append("values: [\(values.map { YAMLText.quoted($0) }.joined(separator: ", "))]")
            }
            if rule.unique { parts.append("unique: true") }
            let remark = remarks[rule.name].map { "  # \($0)" } ?? ""
            lines.append("  \(YAMLText.key(rule.name)): { \(parts.joined(separator: ", ")) }\(remark)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
