import NauraLedger
import NauraPostgres

/// What a replay came to.
struct ReplayReport: Encodable {
    enum Outcome: String, Codable { case equal, differs, notCompared = "not-compared" }

    struct Table: Encodable {
        let table: String
        let outcome: Outcome
        /// Rows that were compared in the original, and in the copy.
        let rows: Int?
        let copyRows: Int?
        /// Which part of it was compared; what of it, or why it was not compared.
        let scope: String?
        let note: String?

        private enum CodingKeys: String, CodingKey {
            case table, outcome, rows, scope, note
            case copyRows = "copy_rows"
        }
    }

    let events: Int
    let told: Int
    /// Events that were said in the copy, and are not on record.
    let unknown: Int
    let seconds: Double
    let warnings: [String]
    let untold: [UntoldEvent]
    let tables: [Table]

    var isEqual: Bool { !tables.contains { $0.outcome == .differs } }

    func show() {
        var table = TextTable([
            ("TABLE", .left), ("ROWS", .right), ("COPY", .right), ("OUTCOME", .left), ("WITHOUT", .left),
        ])
        for one in tables where one.outcome != .notCompared {
            let name = one.scope.map { "\(one.table) (\($0))" } ?? one.table
            table.add([
                name, one.rows.map(String.init) ?? "", one.copyRows.map(String.init) ?? "", one.outcome.rawValue,
                one.note ?? "",
            ])
        }
        table.print()
        Terminal.print()
        var left = TextTable([("NOT COMPARED", .left), ("BECAUSE", .left)])
        for one in tables where one.outcome == .notCompared { left.add([one.table, one.note ?? ""]) }
        left.print()
        Terminal.print()
        for one in untold {
            Terminal.print(
                "not told: \(one.count) \(one.type) of \(one.source): \(one.reason ?? "nobody tells them")")
        }
        let extra = unknown > 0 ? "; \(unknown) were said that are not on record" : ""
        Terminal.print("\(told) of \(events) events told in \(Duration.seconds(seconds).spoken)\(extra)")
        let differing = tables.filter { $0.outcome == .differs }.map(\.table)
        Terminal.print(
            differing.isEmpty
                ? Terminal.green("every compared table is equal")
                : Terminal.red("these differ: \(differing.joined(separator: ", "))"))
    }
}
