/// Rows under headings that line up, numbers to the right.
struct TextTable {
    /// What a column holds: text begins on the left, numbers end on the right.
    enum Alignment { case left, right }

    private let headings: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []

    init(_ headings: [(String, Alignment)]) {
        self.headings = headings.map { (title: $0.0, alignment: $0.1) }
    }

    /// Adds a row with one cell per heading; an empty cell shows as `-`.
    mutating func add(_ cells: [String]) {
        precondition(cells.count == headings.count, "a row has \(cells.count) cells under \(headings.count) headings")
        rows.append(cells.map { $0.isEmpty ? "-" : $0 })
    }

    /// The lines, headings first. A wide character counts as one column: names here are plain text.
    var lines: [String] {
        let widths = headings.indices.map { index in
            ([headings[index].title] + rows.map { $0[index] }).map(\.count).max() ?? 0
        }
        func line(_ cells: [String]) -> String {
            var text = ""
            for (index, cell) in cells.enumerated() {
                let blank = String(repeating: " ", count: widths[index] - cell.count)
                text += headings[index].alignment == .left ? cell + blank : blank + cell
                if index < cells.count - 1 { text += "  " }
            }
            while text.last == " " { text.removeLast() }
            return text
        }
        return [Terminal.dim(line(headings.map(\.title)))] + rows.map(line)
    }

    func print() { lines.forEach { Terminal.print($0) } }
}
