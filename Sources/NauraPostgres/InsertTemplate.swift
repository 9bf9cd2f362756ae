/// An `insert into table (…) values (…)` whose rows can be gathered into one `insert … select … from unnest(…)`.
///
/// Gathered are statements with one row of values that hold binds, constants and function calls; conflict clauses
/// without binds are kept. A statement that returns rows, holds a `select` or a `default` is sent as it is.
struct InsertTemplate {
    let table: String
    /// `insert into table (columns)`.
    private let head: String
    /// The expressions between the parentheses of `values`, cut at each bind: text, number of the bind, text, …
    private let pieces: [Piece]
    /// What follows the values: nothing, or a conflict clause.
    private let tail: String

    private enum Piece {
        case text(Substring)
        case bind(Int)
    }

    init?(_ sql: String) {
        var scanner = SQLScanner(sql)
        guard scanner.skip(word: "insert"), scanner.skip(word: "into"), let table = scanner.name(),
            scanner.parenthesised() != nil
        else { return nil }
        let head = sql[..<scanner.index]
        guard scanner.skip(word: "values"), let values = scanner.parenthesised() else { return nil }
        scanner.skipSpace()
        let tail = sql[scanner.index...]
        let lowered = tail.lowercased()
        guard
            tail.isEmpty || (lowered.hasPrefix("on conflict") && !lowered.contains("returning") && !tail.contains("$"))
        else { return nil }
        let words = values.lowercased().split { !($0.isLetter || $0 == "_") }
        guard !words.contains("select"), !words.contains("default") else { return nil }
        let pieces = Self.cut(values)
        // Without a bind there is nothing to unnest.
        guard pieces.contains(where: { if case .bind = $0 { true } else { false } }) else { return nil }
        self.table = table.lowercased()
        self.head = String(head)
        self.pieces = pieces
        self.tail = String(tail)
    }

    /// The one statement for many rows whose binds have `types`.
    ///
    /// Arrays of unequal length cannot be unnested, so binds that are arrays travel as array literals and are cast.
    func gathered(types: [PostgresType]) -> String {
        var values = ""
        for piece in pieces {
            switch piece {
            case .text(let text): values += text
            case .bind(let number):
                values += "g.p\(number)"
                if case .array = types[number - 1] { values += "::\(types[number - 1].name)" }
            }
        }
        let arrays = types.enumerated().map { "$\($0.offset + 1)::\(Self.element(of: $0.element).name)[]" }
        let names = types.indices.map { "p\($0 + 1)" }
        return
            "\(head) select \(values) from unnest(\(arrays.joined(separator: ", "))) as g(\(names.joined(separator: ", ")))"
            + (tail.isEmpty ? "" : " " + tail)
    }

    /// The element type under which a bind of `type` is unnested.
    static func element(of type: PostgresType) -> PostgresType.Scalar {
        switch type {
        case .scalar(let scalar): scalar
        case .array: .text
        }
    }

    /// Cuts `text` at its binds, which stand outside of quotes.
    private static func cut(_ text: Substring) -> [Piece] {
        var pieces: [Piece] = []
        var start = text.startIndex
        var index = text.startIndex
        var isQuoted = false
        while index < text.endIndex {
            let character = text[index]
            let next = text.index(after: index)
            if character == "'" { isQuoted.toggle() }
            guard character == "$", !isQuoted else {
                index = next
                continue
            }
            let digits = text[next...].prefix { $0.isASCII && $0.isNumber }
            guard let number = Int(digits) else {
                index = next
                continue
            }
            pieces.append(.text(text[start..<index]))
            pieces.append(.bind(number))
            start = digits.endIndex
            index = start
        }
        pieces.append(.text(text[start...]))
        return pieces
    }
}

/// Reads words, names and parentheses from the start of a statement.
struct SQLScanner {
    private let text: String
    private(set) var index: String.Index

    init(_ text: String) {
        self.text = text
        index = text.startIndex
    }

    mutating func skipSpace() {
        while index < text.endIndex, text[index].isWhitespace { index = text.index(after: index) }
    }

    /// Skips `word` in any case; false and unmoved when something else follows.
    mutating func skip(word: String) -> Bool {
        skipSpace()
        let found = text[index...].prefix { $0.isLetter }
        guard found.lowercased() == word else { return false }
        index = found.endIndex
        return true
    }

    /// A table's name with its schema.
    mutating func name() -> String? {
        skipSpace()
        let found = text[index...].prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." }
        guard !found.isEmpty else { return nil }
        index = found.endIndex
        return String(found)
    }

    /// What stands between the parenthesis that follows and its partner; quotes and nested parentheses are respected.
    mutating func parenthesised() -> Substring? {
        skipSpace()
        guard index < text.endIndex, text[index] == "(" else { return nil }
        let start = text.index(after: index)
        var depth = 0
        var isQuoted = false
        var position = index
        while position < text.endIndex {
            let character = text[position]
            if character == "'" { isQuoted.toggle() }
            if !isQuoted, character == "(" { depth += 1 }
            if !isQuoted, character == ")" { depth -= 1 }
            let next = text.index(after: position)
            if depth == 0 {
                index = next
                return text[start..<position]
            }
            position = next
        }
        return nil
    }
}
