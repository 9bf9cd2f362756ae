import Foundation

/// How a feature is computed from one row: arithmetic, literals, and a few functions over columns.
///
/// `totalcharges / nullif(tenure, 0)`. A column is a bare word (`tenure`, letters, digits and `_`) or stands in double
/// quotes (`"total charges"`); a text literal stands in single quotes, `''` is one quote. Functions: `nullif(a, b)`,
/// `coalesce(a, …)`, `abs`, `ln`, `lower`, `upper`, `length`. Null in any operand gives null, as do division by zero,
/// `ln` of what is not above zero, an unknown column, and text where a number is needed (``type(givenColumns:)`` finds
/// that one before any row is read). Codable as its source text.
/// Not called `Expression`, because Foundation has a type of that name.
public struct FeatureExpression: Sendable {
    /// The text as it was written.
    public let source: String
    /// The columns it reads, each once, in the order of their first use.
    public let referencedColumns: [String]
    let root: ExpressionNode

    /// Reads `source`.
    /// - Throws: ``RulesError`` (`expression`) with the character at which reading stopped, and what was expected there.
    public static func parse(_ source: String) throws(RulesError) -> FeatureExpression {
        var parser = ExpressionParser(source)
        let root = try parser.parseWhole()
        return FeatureExpression(source: source, referencedColumns: root.columns(), root: root)
    }

    /// The expression that is one column.
    public static func column(_ name: String) -> FeatureExpression {
        let isWord = ExpressionParser.isWord(name)
        let source = isWord ? name : "\"\(name.replacingOccurrences(of: "\"", with: "\"\""))\""
        return FeatureExpression(source: source, referencedColumns: [name], root: .column(name, position: 1))
    }

    /// The value for a row given by column name; a column that is not there counts as null.
    public func evaluate(_ row: [String: CellValue]) -> CellValue {
        root.evaluate { row[$0] ?? .null }
    }

    /// The value for a row whose cells `value` finds.
    public func evaluate(_ value: (String) -> CellValue) -> CellValue {
        root.evaluate(value)
    }

    /// Whether the result is a number or a text, given the types of the columns.
    /// - Throws: ``RulesError`` (`expression`) at an unknown column, or where text meets arithmetic.
    public func type(givenColumns columns: [String: FeatureType]) throws(RulesError) -> FeatureType {
        try root.type(columns)
    }
}

extension FeatureExpression: Equatable, CustomStringConvertible {
    /// Two expressions are equal when they are written the same.
    public static func == (left: FeatureExpression, right: FeatureExpression) -> Bool { left.source == right.source }
    /// The text as it was written.
    public var description: String { source }
}

extension FeatureExpression: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let source = try container.decode(String.self)
        do {
            self = try FeatureExpression.parse(source)
        } catch {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "expression \(source): \(error)")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(source)
    }
}

/// The tree behind an expression. Positions count characters from 1, for messages.
indirect enum ExpressionNode: Sendable {
    case literal(CellValue)
    case column(String, position: Int)
    case negate(ExpressionNode, position: Int)
    case arithmetic(Arithmetic, ExpressionNode, ExpressionNode, position: Int)
    case call(ExpressionFunction, [ExpressionNode], position: Int)

    enum Arithmetic: Character, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
    }

    func columns() -> [String] {
        switch self {
        case .literal: return []
        case .column(let name, _): return [name]
        case .negate(let operand, _): return operand.columns()
        case .arithmetic(_, let left, let right, _): return unique(left.columns() + right.columns())
        case .call(_, let arguments, _): return unique(arguments.flatMap { $0.columns() })
        }
    }

    private func unique(_ names: [String]) -> [String] {
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }

    func evaluate(_ value: (String) -> CellValue) -> CellValue {
        switch self {
        case .literal(let literal): return literal
        case .column(let name, _): return value(name)
        case .negate(let operand, _):
            guard let number = operand.evaluate(value).number else { return .null }
            return .number(-number)
        case .arithmetic(let operation, let left, let right, _):
            guard let left = left.evaluate(value).number, let right = right.evaluate(value).number else { return .null }
            switch operation {
            case .add: return .number(left + right)
            case .subtract: return .number(left - right)
            case .multiply: return .number(left * right)
            case .divide: return right == 0 ? .null : .number(left / right)
            }
        case .call(let function, let arguments, _): return function.evaluate(arguments, value)
        }
    }

    func type(_ columns: [String: FeatureType]) throws(RulesError) -> FeatureType {
        switch self {
        case .literal(let literal): return literal.text == nil ? .number : .text
        case .column(let name, let position):
            guard let type = columns[name] else {
                throw RulesError(.expression, "no column \(name)", position: position)
            }
            return type
        case .negate(let operand, let position):
            try operand.requireNumber(columns, "-", position)
            return .number
        case .arithmetic(let operation, let left, let right, let position):
            try left.requireNumber(columns, String(operation.rawValue), position)
            try right.requireNumber(columns, String(operation.rawValue), position)
            return .number
        case .call(let function, let arguments, let position):
            return try function.type(arguments, columns, position)
        }
    }

    func requireNumber(_ columns: [String: FeatureType], _ what: String, _ position: Int) throws(RulesError) {
        if case .literal(.null) = self { return }
        guard try type(columns) == .number else {
            throw RulesError(.expression, "\(what) needs numbers, found text", position: position)
        }
    }
}

/// The functions an expression may call.
enum ExpressionFunction: String, Sendable, CaseIterable {
    case nullif, coalesce, abs, ln, lower, upper, length

    /// The fewest and the most arguments.
    var arity: ClosedRange<Int> {
        switch self {
        case .nullif: 2...2
        case .coalesce: 1...32
        default: 1...1
        }
    }

    func evaluate(_ arguments: [ExpressionNode], _ value: (String) -> CellValue) -> CellValue {
        switch self {
        case .nullif:
            let first = arguments[0].evaluate(value)
            return first == arguments[1].evaluate(value) ? .null : first
        case .coalesce:
            for argument in arguments {
                let found = argument.evaluate(value)
                if !found.isNull { return found }
            }
            return .null
        case .abs:
            guard let number = arguments[0].evaluate(value).number else { return .null }
            return .number(Swift.abs(number))
        case .ln:
            guard let number = arguments[0].evaluate(value).number, number > 0 else { return .null }
            return .number(log(number))
        case .lower, .upper, .length:
            guard let text = arguments[0].evaluate(value).text else { return .null }
            switch self {
            case .lower: return .text(text.lowercased())
            case .upper: return .text(text.uppercased())
            default: return .number(Double(text.unicodeScalars.count))
            }
        }
    }

    func type(
        _ arguments: [ExpressionNode], _ columns: [String: FeatureType], _ position: Int
    ) throws(RulesError) -> FeatureType {
        switch self {
        case .abs, .ln:
            try arguments[0].requireNumber(columns, rawValue, position)
            return .number
        case .lower, .upper, .length:
            guard try arguments[0].type(columns) == .text else {
                throw RulesError(.expression, "\(rawValue) needs a text, found a number", position: position)
            }
            return self == .length ? .number : .text
        case .nullif, .coalesce:
            var found: FeatureType?
            for argument in arguments {
                if case .literal(.null) = argument { continue }
                let type = try argument.type(columns)
                if let found, found != type {
                    throw RulesError(
                        .expression, "\(rawValue) needs arguments of one type, found \(found) and \(type)",
                        position: position)
                }
                found = type
            }
            return found ?? .number
        }
    }
}
