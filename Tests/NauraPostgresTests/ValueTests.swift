import Foundation
import NauraTestKit
import Testing

@testable import NauraPostgres

@Suite(.enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct ValueTests {
    private func back<T: PostgresEncodable & PostgresDecodable>(_ value: T) async throws -> T {
        try await TestDatabase.with { database in
            let row = try await database.first("select \(value) as v")
            return try #require(row).get("v")
        }
    }

    @Test("values come back as they went")
    func roundTrip() async throws {
        try await TestDatabase.with { database in
            let id = UUID()
            let bytes: [UInt8] = [0, 255, 7]
            let row = try #require(
                try await database.first(
                    """
                    select \("é'\\\"") as a, \(Int.min) as b, \(Int32.max) as c, \(true) as d, \(id) as e, \(bytes) as f,
                        \(Data(bytes)) as g, \(1.0 / 3) as h, \([1, 2, -3]) as i, \([nil, "", "x"] as [String?]) as j,
                        \([UInt8]()) as k, \("") as l, \([[1], []] as [[UInt8]]) as m
                    """))
            #expect(try row.get("a", as: String.self) == "é'\\\"")
            #expect(try row.get("b", as: Int.self) == .min)
            #expect(try row.get("c", as: Int32.self) == .max)
            #expect(try row.get("d", as: Bool.self))
            #expect(try row.get("e", as: UUID.self) == id)
            #expect(try row.get("f", as: [UInt8].self) == bytes)
            #expect(try row.get("g", as: Data.self) == Data(bytes))
            #expect(try row.get("h", as: Double.self) == 1.0 / 3)
            #expect(try row.get("i", as: [Int].self) == [1, 2, -3])
            #expect(try row.get("j", as: [String?].self) == [nil, "", "x"])
            #expect(try row.get("k", as: [UInt8].self) == [])
            #expect(try row.get("l", as: String.self) == "")
            #expect(try row.get("m", as: [[UInt8]].self) == [[1], []])
        }
    }

    @Test("floats keep every bit, also NaN and the infinities")
    func floats() async throws {
        try await TestDatabase.with { database in
            let values: [Double] = [
                .nan, .infinity, -.infinity, -0.0, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
            ]
            let row = try #require(try await database.first("select \(values) as v, \(Double.nan) as n"))
            let found: [Double] = try row.get("v")
            #expect(found.map(\.bitPattern) == values.map(\.bitPattern))
            #expect(try row.get("n", as: Double.self).isNaN)
        }
    }

    @Test("a null is nil where nil is possible, and an error that names the column where it is not")
    func nulls() async throws {
        try await TestDatabase.with { database in
            let none: Int? = nil
            let row = try #require(
                try await database.first("select \(none) as v, null::text[] as w, \([Int]()) as empty"))
            #expect(try row.get("v", as: Int?.self) == nil)
            #expect(try row.isNull("v"))
            #expect(try row.get("empty", as: [Int].self) == [])
            let fault = #expect(throws: PostgresError.self) { try row.get("v", as: Int.self) }
            #expect(fault?.message == "column `v`: expected Int, found null")
            #expect(throws: PostgresError.self) { try row.get("w", as: [String].self) }
            #expect(throws: PostgresError.self) { try row.get("absent", as: Int.self) }
            #expect(throws: PostgresError.self) { try row.get("empty", as: Int.self) }
        }
    }

    @Test("timestamps keep their microsecond, and the server reads the same moment")
    func times() async throws {
        try await TestDatabase.with { database in
            for micros in [0, 1, 999_999, 1_763_970_000_123_457, -1, -62_135_596_800_000_000] as [Int64] {
                let text = PostgresTime.text(microseconds: micros - 946_684_800_000_000)
                let row = try #require(try await database.first("select \(text)::timestamptz as v"))
                let date: Date = try row.get("v")
                #expect(PostgresTime.microseconds(of: date) == micros - 946_684_800_000_000, "\(text)")
                let again = try #require(try await database.first("select \(date) = \(text)::timestamptz as same"))
                #expect(try again.get("same", as: Bool.self))
            }
            let row = try #require(
                try await database.first(
                    "select 'infinity'::timestamptz as a, \(Date.distantPast) as b, date '2000-01-02' as c"))
            #expect(try row.get("a", as: Date.self) == .distantFuture)
            #expect(try row.get("b", as: Date.self) == .distantPast)
            #expect(try row.get("c", as: Date.self) == Date(timeIntervalSince1970: 946_771_200))
        }
    }

    @Test("sums and other numerics are read as numbers")
    func numerics() async throws {
        try await TestDatabase.with { database in
            let row = try #require(
                try await database.first(
                    """
                    select sum(i) as a, 12345.678::numeric as b, -0.00012::numeric as c, 9007199254740993::numeric as d,
                        100000000::numeric as e, 0::numeric as f, 1.5::float4 as g, count(*) as h
                    from generate_series(1::int8, 3) i
                    """))
            #expect(try row.get("a", as: Int.self) == 6)
            #expect(try row.get("b", as: Double.self) == 12345.678)
            #expect(try row.get("c", as: Double.self) == -0.00012)
            #expect(try row.get("d", as: Int.self) == 9_007_199_254_740_993)
            #expect(try row.get("e", as: Int.self) == 100_000_000)
            #expect(try row.get("f", as: Int.self) == 0)
            #expect(try row.get("g", as: Double.self) == 1.5)
            #expect(try row.get("h", as: Int.self) == 3)
            #expect(throws: PostgresError.self) { try row.get("b", as: Int.self) }
        }
    }

    @Test("documents come back equal, with microseconds, and a wrong one names its column")
    func json() async throws {
        struct Document: Codable, Equatable {
            var name: String
            var at: Date
            var score: Double
        }
        try await TestDatabase.with { database in
            let document = Document(name: "ü", at: Date(timeIntervalSince1970: 1_763_970_000.123_457), score: 0.1)
            let none: Document? = nil
            let row = try #require(
                try await database.first("select \(json: document) as v, \(json: none) as n, \(jsonText: "[1]") as t"))
            let found: Document = try row.json("v")
            #expect(found.name == document.name)
            #expect(abs(found.at.timeIntervalSince(document.at)) < 1e-6)
            #expect(try row.jsonIfPresent("n", as: Document.self) == nil)
            #expect(try row.json("t", as: [Int].self) == [1])
            let fault = #expect(throws: PostgresError.self) { try row.json("t", as: Document.self) }
            #expect(fault?.message.contains("column `t`") == true)
        }
    }

    @Test("a value never becomes text of the statement")
    func injection() async throws {
        let hostile = "'; drop table item; --"
        #expect(try await back(hostile) == hostile)
        let query: Query = "select \(hostile)"
        #expect(query.sql == "select $1")
    }

    @Test("a text with the character NUL fails before anything is sent, and says why")
    func nulCharacter() async throws {
        try await TestDatabase.with { database in
            let fault = await #expect(throws: PostgresError.self) { try await database.update("select \("a\u{0}b")") }
            #expect(fault?.code == .encodingFailed)
        }
    }

    @Test("200,000 rows with jagged arrays are copied and read back")
    func copyMany() async throws {
        try await TestDatabase.with { database in
            try await database.update(
                "create table item (id int8, view int4, key text, numbers float8[], texts text[], at timestamptz)")
            let count = 200_000
            try await database.transaction { transaction in
                for start in stride(from: 0, to: count, by: 20_000) {
                    let rows = (start..<start + 20_000).lazy.map { id -> [PostgresValue] in
                        [
                            id.postgresValue, id.postgresValue, "k\(id)".postgresValue,
                            [Double](repeating: Double(id), count: id % 4).postgresValue,
                            (id % 2 == 0 ? [nil, "x"] : [String?]()).postgresValue,
                            Date(timeIntervalSince1970: 0).postgresValue,
                        ]
                    }
                    let loaded = try await transaction.copy(
                        into: "item", columns: ["id", "view", "key", "numbers", "texts", "at"], rows: rows)
                    #expect(loaded == 20_000)
                }
                try await transaction.execute("insert into item (id) values (\(-1))")
            }
            let row = try #require(
                try await database.first(
                    """
                    select count(*) as n, sum(id) as ids, sum(cardinality(numbers)) as numbers, sum(cardinality(texts)) as texts,
                        count(*) filter (where texts[1] is null and texts[2] = 'x') as pairs from item where id >= 0
                    """))
            #expect(try row.get("n", as: Int.self) == count)
            #expect(try row.get("ids", as: Int.self) == count * (count - 1) / 2)
            #expect(try row.get("numbers", as: Int.self) == count / 4 * 6)
            #expect(try row.get("texts", as: Int.self) == count)
            #expect(try row.get("pairs", as: Int.self) == count / 2)
        }
    }

    @Test("a copy that fails rolls back with its transaction, and the session goes on")
    func copyFails() async throws {
        try await TestDatabase.with(connectionsMax: 1) { database in
            try await database.update("create table item (id int8 primary key)")
            for rows in [[[1.postgresValue], [1.postgresValue]], [["x".postgresValue]], [[]]] {
                await #expect(throws: PostgresError.self) {
                    try await database.transaction { transaction in
                        try await transaction.execute("insert into item (id) values (\(9))")
                        try await transaction.copy(into: "item", columns: ["id"], rows: rows)
                    }
                }
            }
            #expect(try await database.query("select id from item limit 9").isEmpty)
        }
    }
}
