import Foundation
import NauraRules
import Testing

@Suite("Expressions")
struct ExpressionTests {
    private let row: [String: CellValue] = [
        "tenure": 4, "totalcharges": 100, "zero": 0, "name": "Ada", "unknown": nil, "total charges": 7,
    ]

    @Test(
        "an expression computes what it says",
        arguments: [
            ("tenure", CellValue.number(4)), ("totalcharges / nullif(tenure, 0)", 25),
            ("totalcharges / nullif(zero, 0)", nil), ("totalcharges / zero", nil), ("1 + 2 * 3 - 4 / 2", 5),
            ("-(1 + 2) * -2", 6), ("2 - 3 - 4", -5), ("coalesce(unknown, missing, tenure)", 4), ("abs(-3.5)", 3.5),
            ("ln(1)", 0), ("ln(zero)", nil), ("lower(name)", "ada"), ("UPPER(name)", "ADA"), ("length(name)", 3),
            ("\"total charges\" * 1e1", 70), ("'it''s'", "it's"), ("name + 1", nil), ("unknown + 1", nil),
            ("nullif(name, 'Ada')", nil), ("null", nil), (".5 + 1.e-1", 0.6),
        ])
    func computes(source: String, expected: CellValue) throws {
        #expect(try FeatureExpression.parse(source).evaluate(row) == expected)
    }

    @Test(
        "a faulty expression names the character and what was expected",
        arguments: [
            ("", 1, "expected a column"), ("1 +", 4, "found the end"), ("(1 + 2", 7, "to close the ( at 1"),
            ("1 2", 3, "expected an operator"), ("foo(1)", 1, "no function foo"), ("nullif(1)", 1, "takes 2 arguments"),
            ("'abc", 1, "never closed"), ("1.2.3", 1, "no number"), ("2x", 1, "no number"), ("a $ b", 3, "found $"),
            ("a * )", 5, "found )"), ("\"\" + 1", 1, "name is empty"),
        ])
    func refuses(source: String, position: Int, words: String) {
        let fault = #expect(throws: RulesError.self) { try FeatureExpression.parse(source) }
        #expect(fault?.position == position)
        #expect(fault?.message.contains(words) == true, "\(String(describing: fault))")
    }

    @Test("an expression nested without end is refused, not a crash")
    func nesting() {
        let deep = String(repeating: "(", count: 100_000) + "1"
        #expect(throws: RulesError.self) { try FeatureExpression.parse(deep) }
        #expect(throws: RulesError.self) { try FeatureExpression.parse(String(repeating: "-", count: 100_000) + "1") }
    }

    @Test("columns are listed once, in the order of their use")
    func columns() throws {
        let expression = try FeatureExpression.parse("b + coalesce(a, b, \"c d\") * length(e)")
        #expect(expression.referencedColumns == ["b", "a", "c d", "e"])
        #expect(FeatureExpression.column("c d").evaluate(["c d": 1]) == 1)
        #expect(try FeatureExpression.parse(FeatureExpression.column("a\"b").source).referencedColumns == ["a\"b"])
    }

    @Test("the type is known before any row is read, and text in arithmetic is refused")
    func types() throws {
        let columns: [String: FeatureType] = ["n": .number, "t": .text]
        #expect(try FeatureExpression.parse("n / nullif(n, 0)").type(givenColumns: columns) == .number)
        #expect(try FeatureExpression.parse("coalesce(t, 'none')").type(givenColumns: columns) == .text)
        #expect(try FeatureExpression.parse("length(t)").type(givenColumns: columns) == .number)
        for faulty in ["t + 1", "lower(n)", "coalesce(n, t)", "x", "-t"] {
            let expression = try FeatureExpression.parse(faulty)
            #expect(throws: RulesError.self) { try expression.type(givenColumns: columns) }
        }
    }

    @Test("cells pass through JSON, booleans as numbers")
    func cells() throws {
        let cells = try JSONDecoder().decode([CellValue].self, from: Data("[null, 1.5, \"x\", true, 7]".utf8))
        #expect(cells == [nil, 1.5, "x", 1, 7])
        #expect(try JSONDecoder().decode([CellValue].self, from: JSONEncoder().encode(cells)) == cells)
        #expect(CellValue.text("é") != CellValue.text("e\u{301}"))
    }
}
