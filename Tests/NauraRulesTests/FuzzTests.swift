// Damaged expressions and calendars: each is refused with a reason, or answers.

import Foundation
import NauraTestKit
import Testing

@testable import NauraRules

@Suite("Fuzzed texts")
struct FuzzTests {
    @Test("an expression is refused at one of its characters, or gives a value of its type")
    func expressions() async throws {
        let samples = [
            "totalcharges / nullif(tenure, 0)", #"coalesce("total charges", 1e3, -2) * (a - b)"#,
            "length(lower('it''s')) + abs(ln(x))",
        ]
        let types: [String: FeatureType] = ["tenure": .number, "totalcharges": .number, "a": .number, "x": .text]
        let row: [String: CellValue] = ["tenure": 0, "totalcharges": 70.5, "a": .null, "x": "é"]
        let tokens = ["(((((((((", "nullif(", "''", "1.", ".5", "--", "coalesce(", "/0", "𝛼"]
        try await Fuzz.run("expressions", samples: samples.map { Array($0.utf8) }, tokens: tokens) { input in
            do {
                let expression = try FeatureExpression.parse(String(decoding: input, as: UTF8.self))
                let value = expression.evaluate(row)
                if case .number(let number) = value { try Fuzz.require(!number.isNaN, "not a number") }
                switch (try expression.type(givenColumns: types), value) {
                case (_, .null), (.number, .number), (.text, .text): break
                case (let type, let value): try Fuzz.require(false, "\(type), and yet \(value)")
                }
            } catch let refusal as RulesError {
                try Fuzz.require(!refusal.message.isEmpty, "a refusal without words")
            }
        }
        for opening in ["(", "-", "abs("] {
            #expect(throws: RulesError.self) {
                try FeatureExpression.parse(String(repeating: opening, count: 200_000))
            }
        }
    }

    @Test("a calendar is refused with a reason, or has a next slot after any moment, or none at all")
    func calendars() async throws {
        let samples = ["0 3 * * mon", "*/15 8-18 1,15 jan-mar *", "30 2 29 2 *", "5 4 * * 1-5"]
        let moment = Date(timeIntervalSince1970: 1_774_747_800)
        try await Fuzz.run(
            "calendars", samples: samples.map { Array($0.utf8) }, tokens: ["*/0", "60", "7", "L", "@daily", "-", "31"]
        ) { input in
            do {
                let schedule = try CronSchedule(String(decoding: input, as: UTF8.self), timeZone: "Europe/Berlin")
                guard let next = schedule.next(after: moment) else { return }
                try Fuzz.require(next > moment, "the next slot is \(next)")
            } catch let refusal as RulesError {
                try Fuzz.require(!refusal.message.isEmpty, "a refusal without words")
            }
        }
    }
}
