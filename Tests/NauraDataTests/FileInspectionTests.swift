import Foundation
import NauraData
import NauraRules
import Testing

@Suite struct FileInspectionTests {
    private let dataset = DatasetDefinition(
        name: "d", key: "id", timestamp: .column("at"),
        contract: Contract(columns: [
            ColumnRule(name: "id", type: .integer), ColumnRule(name: "at", type: .timestamp),
            ColumnRule(name: "n", type: .number), ColumnRule(name: "on", type: .boolean),
        ]))

    @Test("one pass finds profile, violations, the span of moments and the rows that come late")
    func inspection() async throws {
        try await withFolder { folder in
            let path = try write("id,at,n,on\n1,2026-01-02,1,true\n2,2026-01-01,x,false\n", in: folder)
            let found = try await FileInspection.inspect(
                path: path, format: .csv, dataset: dataset, knownUntil: Cell.read("2026-01-02").moment)
            #expect(found.profile.rows == 2)
            #expect(found.violations.map(\.rule) == ["type"])
            #expect(found.moments.map { Timestamp.text($0.lowerBound) } == "2026-01-01T00:00:00Z")
            #expect(found.backdatedRows == 1)
        }
    }

    @Test("features and identities are read by the contract's types")
    func features() async throws {
        try await withFolder { folder in
            let path = try write("id,at,n,on\n1.0,2026-01-02,NA,TRUE\n2,,3,0\n3,2026-01-02,1e400,\n", in: folder)
            let reader = try DataFile.open(path: path, format: .csv)
            let view = FeatureViewDefinition(
                name: "v", entity: "e", joinKey: "id", dataset: "d",
                features: [
                    FeatureDefinition(name: "on", expression: .column("on"), type: .number),
                    FeatureDefinition(name: "n", expression: try .parse("n * 2"), type: .number),
                    FeatureDefinition(name: "gone", expression: .column("gone"), type: .text),
                ])
            let rows = try RowReader(dataset, columns: reader.columns, arrival: 7)
            var features = ViewReader(view, contract: dataset.contract, columns: reader.columns)
            var values: [ViewReader.Values] = []
            var keys: [String?] = []
            try reader.forEachCells { fields, cells, _ in
                values.append(features.values(fields, cells))
                keys.append(rows.identity(fields, cells)?.key)
            }
            #expect(keys == ["1", nil, "3"])
            #expect(values.map(\.numbers) == [[1, nil], [0, 6], [nil, nil]])
            #expect(values.map(\.texts) == [[nil], [nil], [nil]])
            #expect(features.statistics.map(\.nulls) == [1, 2, 3])
        }
    }
}
