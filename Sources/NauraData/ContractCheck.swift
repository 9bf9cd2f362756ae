import NauraRules

/// Holds a file against its contract, a row at a time.
///
/// Memory grows only with `unique` rules: 16 to 32 bytes a value.
public struct ContractCheck {
    /// How many of the values at fault a violation shows.
    static let sampleMax = 5

    private var checks: [ColumnCheck] = []
    private var fileViolations: [Violation] = []
    private let contract: Contract
    private var rows: Int64 = 0

    /// A check of a file with these columns; names that are missing or not allowed are violations already.
    ///
    /// `key` and the columns of `moments` must hold a value in every row, whatever the contract says, and the latter
    /// each a moment: a timestamp, or seconds since the epoch.
    public init(_ contract: Contract, columns: [String], key: String? = nil, moments: [String] = []) {
        self.contract = contract
        let needed = (key.map { [$0] } ?? []) + moments
        for rule in contract.columns where !columns.contains(rule.name) {
            if rule.required || needed.contains(rule.name) { missing(rule.name, columns) }
        }
        for name in needed where !columns.contains(name) && contract.column(name) == nil { missing(name, columns) }
        for (index, name) in columns.enumerated() {
            if var rule = contract.column(name) {
                if needed.contains(name) { rule.nullable = false }
                checks.append(ColumnCheck(rule: rule, index: index, isMoment: moments.contains(name)))
            } else if needed.contains(name) {
                let type: ColumnType = moments.contains(name) ? .timestamp : .text
                let rule = ColumnRule(name: name, type: type, nullable: false)
                checks.append(ColumnCheck(rule: rule, index: index, isMoment: moments.contains(name)))
            } else if !contract.allowExtraColumns {
                fileViolations.append(
                    Violation(
                        rule: "unexpected-column", column: name, count: 1,
                        message: "column '\(name)' is not in the contract, which allows no others"))
            }
        }
    }

    private mutating func missing(_ name: String, _ columns: [String]) {
        let near = Nearness.suggestion(for: name, among: columns).map { "; there is '\($0)'" } ?? ""
        fileViolations.append(
            Violation(rule: "missing-column", column: name, count: 1, message: "column '\(name)' is missing\(near)"))
    }

    /// Takes in one row.
    public mutating func add(_ fields: RecordFields, _ cells: UnsafeBufferPointer<Cell>, row: Int64) {
        rows += 1
        for index in checks.indices {
            let column = checks[index].index
            checks[index].add(cells[column], fields[column], row: row)
        }
    }

    /// What was broken, in the order: the file, then its columns.
    public var violations: [Violation] {
        var found = fileViolations
        if let rowsMin = contract.rowsMin, rows < Int64(rowsMin) {
            found.append(
                Violation(rule: "rows-min", count: Int(rows), message: "\(rows) rows, expected at least \(rowsMin)"))
        }
        return found + checks.flatMap { $0.violations(rows: rows) }
    }
}

/// Checks one column against its rule.
private struct ColumnCheck {
    let rule: ColumnRule
    let index: Int
    let isMoment: Bool
    private let allowed: Set<String>?
    private var seen: Set<UInt64> = []
    private var nulls: Int64 = 0
    private var nullRows: [String] = []
    private var type = Tally()
    private var range = Tally()
    private var values = Tally()
    private var repeated = Tally()

    /// Breaches of one rule: how many, and the first few.
    private struct Tally {
        var count: Int64 = 0
        var sample: [String] = []

        mutating func add(_ field: UnsafeBufferPointer<UInt8>, row: Int64) {
            count += 1
            guard sample.count < ContractCheck.sampleMax else { return }
            sample.append("row \(row): \(String(decoding: field.prefix(80), as: UTF8.self))")
        }
    }

    init(rule: ColumnRule, index: Int, isMoment: Bool) {
        self.rule = rule
        self.index = index
        self.isMoment = isMoment
        allowed = rule.values.map(Set.init)
    }

    mutating func add(_ cell: Cell, _ field: UnsafeBufferPointer<UInt8>, row: Int64) {
        if cell.kind == .blank || (cell.kind == .nullMark && rule.type != .text) {
            nulls += 1
            if nullRows.count < ContractCheck.sampleMax { nullRows.append("row \(row)") }
            return
        }
        guard fits(cell) else { return type.add(field, row: row) }
        if rule.minimum != nil || rule.maximum != nil, let number = number(cell) {
            if number < rule.minimum ?? -.infinity || number > rule.maximum ?? .infinity { range.add(field, row: row) }
        }
        if let allowed, !allowed.contains(cell.canonicalText(field, type: rule.type)) {
            values.add(field, row: row)
        }
        if rule.unique, !seen.insert(StableHash.of(Cell.trimmed(field))).inserted { repeated.add(field, row: row) }
    }

    private func fits(_ cell: Cell) -> Bool {
        if isMoment { return cell.moment != nil }
        switch rule.type {
        case .text: return true
        // Programs that know no missing integer write 5.0 for 5 as soon as one cell of the column is empty.
        case .integer: return cell.isNumber && cell.value == cell.value.rounded()
        case .number: return cell.isNumber
        case .boolean: return cell.kind == .boolean || (cell.isNumber && (cell.value == 0 || cell.value == 1))
        case .timestamp: return cell.kind == .timestamp
        }
    }

    private func number(_ cell: Cell) -> Double? {
        switch cell.kind {
        case .timestamp: cell.value / 1_000_000
        case .integer, .number, .boolean: rule.type == .text ? nil : cell.value
        case .blank, .nullMark, .text: nil
        }
    }

    func violations(rows: Int64) -> [Violation] {
        var found: [Violation] = []
        func add(_ rule: String, _ tally: Tally, _ message: String) {
            guard tally.count > 0 else { return }
            found.append(
                Violation(
                    rule: rule, column: self.rule.name, count: Int(tally.count), sample: tally.sample, message: message)
            )
        }
        let name = rule.name
        if rows > 0, nulls > 0, !rule.nullable {
            let message = "column '\(name)' has no value in \(nulls) of \(rows) rows; it must have one in each"
            found.append(
                Violation(rule: "not-null", column: name, count: Int(nulls), sample: nullRows, message: message))
        } else if let share = rule.maxNullShare, rows > 0, Double(nulls) > share * Double(rows) {
            let message =
                "column '\(name)' has no value in \(nulls) of \(rows) rows; at most \(percent(share)) may lack it"
            found.append(
                Violation(rule: "null-share", column: name, count: Int(nulls), sample: nullRows, message: message))
        }
        let kind = isMoment ? "moments" : rule.type == .text ? "text" : "\(rule.type)s"
        add("type", type, "column '\(name)' holds \(type.count) values that are no \(kind)")
        add("range", range, "column '\(name)' holds \(range.count) values outside \(limits)")
        add("values", values, "column '\(name)' holds \(values.count) values that are not among the allowed ones")
        add("unique", repeated, "column '\(name)' repeats \(repeated.count) values; each may stand once")
        return found
    }

    private var limits: String {
        switch (rule.minimum, rule.maximum) {
        case (let low?, let high?): "\(CellValue.number(low)) … \(CellValue.number(high))"
        case (let low?, nil): "≥ \(CellValue.number(low))"
        case (nil, let high?): "≤ \(CellValue.number(high))"
        case (nil, nil): "any"
        }
    }

    private func percent(_ share: Double) -> String { "\(CellValue.number((share * 1_000).rounded() / 10)) %" }
}
