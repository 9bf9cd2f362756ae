import Foundation
import NauraData
import NauraRules
import Testing

@Suite struct ProfilerTests {
    private func profile(_ text: String) async throws -> Profile {
        try await withFolder { folder in
            try Profiler.profile(try CSVReader(path: try write(text, in: folder))).profile
        }
    }

    @Test("a column's type is the narrowest that all its values have")
    func types() async throws {
        let profile = try await profile(
            """
            i,n,b,t,x,e,m
            1,1,true,2013-01-01,1,,1
            NA,2.5,FALSE,2013-01-02 10:00,a, ,NA
            3,,,NA,NA,,2

            """)
        #expect(profile.columns.map(\.type) == [.integer, .number, .boolean, .timestamp, .text, .text, .integer])
        #expect(profile.columns.map(\.nulls) == [1, 1, 1, 1, 0, 3, 1])
        #expect(profile.columns.map(\.distinct) == [2, 2, 2, 2, 3, 0, 2])
        #expect(profile.rows == 3)
    }

    @Test("extremes, mean and deviation are those of the numbers")
    func moments() async throws {
        let column = try await profile("a\n2\n4\n4\n4\n5\n5\n7\n9\n").columns[0]
        #expect(column.minimum == 2)
        #expect(column.maximum == 9)
        #expect(column.mean == 5)
        #expect(abs(column.standardDeviation! - (32.0 / 7).squareRoot()) < 1e-12)
        #expect(column.top.first == ValueCount(value: "4", count: 3))
    }

    @Test("distinct values are counted exactly up to 10,000, and no further")
    func distinct() async throws {
        let exact = try await profile("a\n" + (0..<10_000).map { "\($0)\n" }.joined())
        #expect(exact.columns[0].distinct == 10_000)
        #expect(!exact.columns[0].distinctIsCapped)
        #expect(exact.columns[0].top.isEmpty)
        let more = try await profile("a\n" + (0..<10_001).map { "\($0)\n" }.joined())
        #expect(more.columns[0].distinct == 10_000)
        #expect(more.columns[0].distinctIsCapped)
    }
}

@Suite struct ContractCheckTests {
    private func check(
        _ text: String, _ contract: Contract, key: String? = "id", moments: [String] = []
    ) async throws -> [Violation] {
        try await withFolder { folder in
            let reader = try CSVReader(path: try write(text, in: folder))
            var check = ContractCheck(contract, columns: reader.columns, key: key, moments: moments)
            try reader.forEachCells { fields, cells, row in check.add(fields, cells, row: row) }
            return check.violations
        }
    }

    @Test("a missing column, a changed type, nulls, ranges, values and repetitions are counted with samples")
    func violations() async throws {
        let contract = Contract(
            columns: [
                ColumnRule(name: "id", type: .text, unique: true), ColumnRule(name: "gone", type: .text),
                ColumnRule(name: "n", type: .number, maximum: 10),
                ColumnRule(name: "v", type: .text, values: ["a", "b"]),
                ColumnRule(name: "h", type: .integer, nullable: true, maxNullShare: 0.5),
                ColumnRule(name: "t", type: .number),
            ], allowExtraColumns: false, rowsMin: 5)
        let found = try await check(
            "id,n,v,h,t,extra\n1,11,a,,5,x\n1,2,c,,abc,x\n,NA,,3.0,7,x\n4,10,b,,x y,x\n", contract)
        let expected: [(String, String?, Int)] = [
            ("missing-column", "gone", 1), ("unexpected-column", "extra", 1), ("rows-min", nil, 4),
            ("not-null", "id", 1),
            ("unique", "id", 1), ("range", "n", 1), ("values", "v", 1), ("null-share", "h", 3), ("type", "t", 2),
        ]
        #expect(found.map(\.rule) == expected.map(\.0))
        #expect(found.map(\.column) == expected.map(\.1))
        #expect(found.map(\.count) == expected.map(\.2))
        #expect(found.last?.sample == ["row 2: abc", "row 4: x y"])
    }

    @Test("a moment must be one in every row, whatever its column's type")
    func moments() async throws {
        let contract = Contract(columns: [ColumnRule(name: "at", type: .integer)])
        #expect(try await check("id,at\n1,1372674030\n2,1372674031\n", contract, moments: ["at"]).isEmpty)
        let found = try await check("id,at\n1,1372674030\n2,20130101\n3,\n", contract, moments: ["at"])
        #expect(found.map(\.rule) == ["not-null", "type"])
    }

    @Test("a contract made from one month lets the next months in, and a changed shape out")
    func inference() async throws {
        let first = "id,n,c,late\n1,5,x,0\n2,7,y,1\n3,9,x,0\n"
        let contract = try await withFolder { folder in
            let profiler = try Profiler.profile(try CSVReader(path: try write(first, in: folder)))
            return ContractInference.contract(profiler.profile, key: "id", label: "late", labelValues: ["0", "1"])
        }
        #expect(try await check("id,n,c,late\n9,500000.25,new,1.0\n8,,z,NA\n7,1,z,0\n", contract).isEmpty)
        #expect(try await check("id,n,c\n9,1,x\n", contract).map(\.rule) == ["missing-column"])
        #expect(try await check("id,n,c,late\n9,many,x,1\n", contract).map(\.rule) == ["type"])
        #expect(try await check("id,n,c,late\n9,1,x,2\n", contract).map(\.rule) == ["values"])
        #expect(try await check("id,n,c,late\n,1,x,1\n", contract).map(\.rule) == ["not-null"])
    }
}
