import Foundation
import NauraTestKit
import Testing

@testable import NauraPostgres

struct InsertTemplateTests {
    @Test("an insert of binds, constants and calls becomes one insert from arrays, its conflict clause kept")
    func rewrites() {
        let template = InsertTemplate(
            "insert into naura.item (id, name, at) values ($1, coalesce($2, 'a $9 (b)'), now())\n on conflict (id) do nothing"
        )
        let sql = template?.gathered(types: [.scalar(.int8), .scalar(.text)])
        #expect(
            sql == """
                insert into naura.item (id, name, at) select g.p1, coalesce(g.p2, 'a $9 (b)'), now() \
                from unnest($1::int8[], $2::text[]) as g(p1, p2) on conflict (id) do nothing
                """)
        #expect(template?.table == "naura.item")
    }

    @Test("binds that are arrays travel as literals and are cast")
    func arrays() {
        let template = InsertTemplate("insert into item (values) values ($1)")
        #expect(
            template?.gathered(types: [.array(.float8)])
                == "insert into item (values) select g.p1::float8[] from unnest($1::text[]) as g(p1)")
    }

    @Test(
        "statements whose rows depend on more than their values are sent as they are",
        arguments: [
            "insert into item (id) values ($1) returning id", "insert into item (id) select $1",
            "insert into item (id) values ($1), ($2)", "insert into item (id) values ((select max(id) from item) + $1)",
            "insert into item (id, n) values ($1, default)", "insert into item (id) values (1)",
            "insert into item (id) values ($1) on conflict (id) do update set n = $2",
            "insert into item values ($1)", "update item set id = $1", "delete from item where id = $1",
        ])
    func refuses(_ sql: String) {
        #expect(InsertTemplate(sql) == nil)
    }

    private func plan(_ queue: [Query]) -> String {
        var templates = InsertTemplates()
        return Gathering(queue, templates: &templates).groups.map { group in
            switch group {
            case .single(let index): "\(index)"
            case .gathered(_, let rows): "(" + rows.map(String.init).joined(separator: " ") + ")"
            }
        }.joined(separator: " ")
    }

    @Test("rows pass inserts into other tables, and never anything else")
    func order() {
        let a: Query = "insert into a (id) values (\(1))"
        let b: Query = "insert into b (id) values (\(1))"
        let otherA: Query = "insert into a (id, n) values (\(1), \(2))"
        let delete: Query = "delete from a where id = \(1)"
        #expect(plan([a, b, a, b]) == "(0 2) (1 3)")
        #expect(plan([a, delete, a, b, a]) == "0 1 (2 4) 3")
        #expect(plan([a, otherA, a]) == "0 1 2")
        #expect(plan([b, a, otherA, b, otherA]) == "(0 3) 1 (2 4)")
    }

    @Test("rows whose binds differ in type are not gathered")
    func types() {
        let n: Int = 1
        let m: Double = 1
        let wide: Query = "insert into a (id) values (\(n))"
        let real: Query = "insert into a (id) values (\(m))"
        #expect(plan([wide, wide, real, real]) == "(0 1) (2 3)")
    }
}

@Suite(.enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct GatheringTests {
    /// A reproducible stream of statements on three tables.
    private static func statements(seed: UInt64) -> [Query] {
        var state = seed
        func next(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(limit))
        }
        return (0..<400).map { index in
            let id = next(60)
            let text: String? = next(4) == 0 ? nil : "t\"\\,{}'\(id)\u{e9}"
            let numbers = (0..<next(4)).map { _ in [Double.nan, .infinity, -0.0, 1e-300, 0.1][next(5)] }
            let texts: [String?] = (0..<next(3)).map { _ in [nil, "", "a,\"b\\", "null"][next(4)] }
            switch next(12) {
            case 0: return "delete from a where id = \(id)"
            case 1: return "update b set n = n + 1 where id < \(id)"
            case 2, 3, 4:
                return """
                    insert into a (id, name, numbers, texts, at) values (\(id), \(text), \(numbers), \(texts), \
                    \(Date(timeIntervalSince1970: Double(index) + 0.000_001)))
                    on conflict (id) do update set name = excluded.name, numbers = excluded.numbers, texts = excluded.texts
                    """
            case 5, 6: return "insert into b (id, n) values (\(id), \(Int32(index))) on conflict (id) do nothing"
            case 7: return "insert into b (id, n) values (\(id), 0) on conflict do nothing"
            default: return "insert into c (name, body, raw) values (\(text), \(json: ["k": id]), \([UInt8(id), 0]))"
            }
        }
    }

    private func outcome(_ queue: [Query], flushEach: Bool) async throws -> [String] {
        try await TestDatabase.with { database in
            try await database.update(
                """
                create table a (id int8 primary key, name text, numbers float8[], texts text[], at timestamptz)
                """)
            try await database.update("create table b (id int8 primary key, n int4)")
            try await database.update(
                "create table c (number int8 generated always as identity, name text, body jsonb, raw bytea)")
            try await database.transaction { transaction in
                for query in queue {
                    try await transaction.execute(query)
                    if flushEach { try await transaction.flush() }
                }
            }
            let rows = try await database.query(
                """
                select a::text as line from a union all select b::text from b
                union all select (rank() over (order by number), name, body, raw)::text from c order by 1 limit 9999
                """)
            return try rows.map { try $0.get("line") }
        }
    }

    @Test("gathered statements leave the same rows as single ones", arguments: [1, 2, 3] as [UInt64])
    func equalsSingles(seed: UInt64) async throws {
        let queue = Self.statements(seed: seed)
        let gathered = try await outcome(queue, flushEach: false)
        let single = try await outcome(queue, flushEach: true)
        #expect(!gathered.isEmpty)
        // Numbers that a repeated attempt drew are gaps, so only their order counts.
        #expect(zip(gathered, single).first { $0 != $1 } == nil)
        #expect(gathered.count == single.count)
    }

    @Test("a row whose foreign key comes later in the gathered order is still accepted, as single statements would be")
    func foreignKeys() async throws {
        try await TestDatabase.with { database in
            try await database.update("create table parent (id int8 primary key)")
            try await database.update("create table child (id int8 primary key, parent int8 references parent)")
            try await database.update("insert into parent values (0)")
            try await database.transaction { transaction in
                try await transaction.execute("insert into child (id, parent) values (\(0), \(0))")
                try await transaction.execute("insert into parent (id) values (\(1))")
                try await transaction.execute("insert into child (id, parent) values (\(1), \(1))")
                #expect(try await transaction.query("select id from child limit 9").count == 2)
                try await transaction.execute("insert into child (id, parent) values (\(2), \(1))")
                try await transaction.execute("insert into parent (id) values (\(2))")
                try await transaction.execute("insert into child (id, parent) values (\(3), \(2))")
            }
            #expect(try await database.query("select id from child limit 9").count == 4)
        }
    }
}
