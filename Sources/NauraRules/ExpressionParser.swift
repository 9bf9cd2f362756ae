/// Recursive descent over the characters of one expression; every fault names the character at which it was found.
struct ExpressionParser {
    private let characters: [Character]
    private var index = 0
    private var depth = 0
    // Each level takes a few stack frames; a worker's thread has 512 KB.
    private static let depthMax = 100

    init(_ source: String) {
        characters = Array(source)
    }

    /// Whether `name` can stand without quotes.
    static func isWord(_ name: String) -> Bool {
        guard let first = name.first, isWordStart(first) else { return false }
        return name.allSatisfy(isWordPart) && name.lowercased() != "null"
    }

    mutating func parseWhole() throws(RulesError) -> ExpressionNode {
        let node = try parseSum()
        skipSpaces()
        if index < characters.count { throw fault("expected an operator or the end") }
        return node
    }

    private mutating func parseSum() throws(RulesError) -> ExpressionNode {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.depthMax { throw fault("nested deeper than \(Self.depthMax)") }
        var left = try parseProduct()
        while let operation = takeOperator("+-") {
            let position = index
            left = .arithmetic(operation, left, try parseProduct(), position: position)
        }
        return left
    }

    private mutating func parseProduct() throws(RulesError) -> ExpressionNode {
        var left = try parseFactor()
        while let operation = takeOperator("*/") {
            let position = index
            left = .arithmetic(operation, left, try parseFactor(), position: position)
        }
        return left
    }

    private mutating func parseFactor() throws(RulesError) -> ExpressionNode {
        skipSpaces()
        guard index < characters.count else { throw fault("expected a column, a number, a text or (") }
        let position = index + 1
        switch characters[index] {
        case "-":
            index += 1
            depth += 1
            defer { depth -= 1 }
            if depth > Self.depthMax { throw fault("nested deeper than \(Self.depthMax)") }
            return .negate(try parseFactor(), position: position)
        case "(":
            index += 1
            let inner = try parseSum()
            try expect(")", toClose: position)
            return inner
        case "'": return .literal(.text(try takeQuoted("'")))
        case "\"": return .column(try takeQuoted("\""), position: position)
        case let character where character.isASCII && (character.isNumber || character == "."):
            return .literal(.number(try takeNumber()))
        case let character where Self.isWordStart(character): return try parseWord(position)
        default: throw fault("expected a column, a number, a text or (")
        }
    }

    private mutating func parseWord(_ position: Int) throws(RulesError) -> ExpressionNode {
        let start = index
        while index < characters.count, Self.isWordPart(characters[index]) { index += 1 }
        let word = String(characters[start..<index])
        skipSpaces()
        guard index < characters.count, characters[index] == "(" else {
            return word.lowercased() == "null" ? .literal(.null) : .column(word, position: position)
        }
        guard let function = ExpressionFunction(rawValue: word.lowercased()) else {
            let known = ExpressionFunction.allCases.map(\.rawValue).joined(separator: ", ")
            throw RulesError(.expression, "no function \(word); there are \(known)", position: position)
        }
        let opening = index + 1
        index += 1
        var arguments = [try parseSum()]
        skipSpaces()
        while index < characters.count, characters[index] == "," {
            index += 1
            arguments.append(try parseSum())
            skipSpaces()
        }
        try expect(")", toClose: opening)
        guard function.arity.contains(arguments.count) else {
            let wanted =
                function.arity.count == 1 ? "\(function.arity.lowerBound)" : "\(function.arity.lowerBound) or more"
            throw RulesError(
                .expression, "\(word) takes \(wanted) arguments, found \(arguments.count)", position: position)
        }
        return .call(function, arguments, position: position)
    }

    /// Takes the text up to the closing `quote`; a doubled one is one of them.
    private mutating func takeQuoted(_ quote: Character) throws(RulesError) -> String {
        let opening = index + 1
        index += 1
        var text = ""
        while index < characters.count {
            if characters[index] == quote {
                index += 1
                guard index < characters.count, characters[index] == quote else {
                    if quote == "\"", text.isEmpty {
                        throw RulesError(.expression, "a column's name is empty", position: opening)
                    }
                    return text
                }
            }
            text.append(characters[index])
            index += 1
        }
        throw RulesError(.expression, "\(quote) is never closed", position: opening)
    }

    private mutating func takeNumber() throws(RulesError) -> Double {
        let start = index
        while index < characters.count {
            let character = characters[index]
            let isSign = (character == "-" || character == "+") && index > start && "eE".contains(characters[index - 1])
            guard isSign || Self.isWordPart(character) || character == "." else { break }
            index += 1
        }
        let text = String(characters[start..<index])
        guard text.allSatisfy({ "0123456789.eE+-".contains($0) }), let number = Double(text), number.isFinite else {
            throw RulesError(.expression, "\(text) is no number", position: start + 1)
        }
        return number
    }

    private mutating func takeOperator(_ among: String) -> ExpressionNode.Arithmetic? {
        skipSpaces()
        guard index < characters.count, among.contains(characters[index]) else { return nil }
        defer { index += 1 }
        return ExpressionNode.Arithmetic(rawValue: characters[index])
    }

    private mutating func expect(_ character: Character, toClose opening: Int) throws(RulesError) {
        skipSpaces()
        guard index < characters.count, characters[index] == character else {
            throw fault("expected \(character) to close the ( at \(opening)")
        }
        index += 1
    }

    private mutating func skipSpaces() {
        while index < characters.count, characters[index].isWhitespace { index += 1 }
    }

    private func fault(_ expected: String) -> RulesError {
        let found = index < characters.count ? "\(characters[index])" : "the end"
        return RulesError(.expression, "\(expected), found \(found)", position: index + 1)
    }

    private static func isWordStart(_ character: Character) -> Bool { character.isLetter || character == "_" }
    private static func isWordPart(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_"
    }
}
