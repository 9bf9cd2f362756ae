import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore
import NauraTestKit
import Testing

@testable import featurize
@testable import validate

@Suite(.enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct FeaturizeTests {
    private static let header = "id,at,charges,months,plan,churn\n"
    private static let first = header + "a,2026-01-01,10,2,x,Yes\nb,2026-01-02,7,0,,No\na,2026-01-05,8,4,y,\n"

    private func rows(_ sample: DataSample) async throws -> [String] {
        try await sample.column(
            """
            select entity_key || ' ' || event_at::date || ' ' || number || '.' || row_number || ' ' || numbers::text
                || ' ' || texts::text as value
            from naura.feature_row f join naura.feature_view v on v.id = f.view_id and v.is_current
            order by number, row_number limit 100
            """)
    }

    private func online(_ sample: DataSample) async throws -> [String] {
        try await sample.column(
            """
            select entity_key || ' ' || number || '.' || row_number || ' ' || numbers::text as value
            from naura.online_row o join naura.feature_view v on v.id = o.view_id and v.is_current
            order by entity_key limit 100
            """)
    }

    private func labels(_ sample: DataSample) async throws -> [String] {
        try await sample.column(
            """
            select column_name || ' ' || entity_key || ' ' || number || '.' || row_number || ' ' || label as value
            from naura.label_row order by column_name, number, row_number limit 100
            """)
    }

    @Test("a snapshot becomes feature rows, online rows and labels, and is announced")
    func featurizes() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.first))
            try await sample.featurize()
            #expect(
                try await rows(sample) == [
                    "a 2026-01-01 1.1 {5,2} {x}", "b 2026-01-02 1.2 {NULL,0} {NULL}", "a 2026-01-05 1.3 {2,4} {y}",
                ])
            #expect(try await online(sample) == ["a 1.3 {2,4}", "b 1.2 {NULL,0}"])
            #expect(try await labels(sample) == ["churn a 1.1 Yes", "churn b 1.2 No"])
            let said = try await said(FeaturesReady.self, in: sample.database)
            #expect(said.count == 1)
            #expect(said.first?.rows == 3)
            #expect(said.first?.featureViews == ["profile"])
            #expect(said.first?.asOf == Date(timeIntervalSince1970: 1_767_571_200))
            let state = try await sample.column("select state as value from naura.snapshot limit 1")
            #expect(state == ["ready"])
            let nulls = try await sample.column(
                "select statistics->'features'->0->>'nulls' as value from naura.view_snapshot limit 1")
            #expect(nulls == ["1"])
        }
    }

    @Test("an online row gives way only to one that is greater by event time, created time and number")
    func onlineRule() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.first))
            try await sample.publish(
                try sample.file(Self.header + "a,2026-01-03,1,1,x,No\nb,2026-01-02,3,3,x,No\n"))
            try await sample.featurize()
            #expect(try await online(sample) == ["a 1.3 {2,4}", "b 2.2 {1,3}"])
        }
    }

    @Test("an interrupted attempt leaves nothing behind, and nothing of it is ever seen")
    func interrupted() async throws {
        try await DataSample.with { sample in
            let many = (0..<9_000).map { "k\($0),2026-01-01,\($0),1,x,\($0 % 2 == 0 ? "Yes" : "No")\n" }.joined()
            try await sample.publish(try sample.file(Self.header + many))
            let validated = try #require(try await said(DataValidated.self, in: sample.database).first)
            try await handle(validated, by: OrderFeatures(), in: sample.database)
            let lost = try #require(
                try await Jobs.claim(
                    kinds: [FeaturizeSnapshot.kind], owner: "dying", leaseSeconds: 0, in: sample.database))
            // A runner died after its second piece: its rows lie there, the lease has run out.
            let plan = try await sample.database.query("select id from naura.feature_view limit 1")
            let view = try #require(plan.first).get("id", as: Int32.self)
            _ = try await sample.database.update(
                """
                insert into naura.feature_row
                select \(view), 'k' || i, '2026-01-01', '2026-01-01', 1, i + 1, array[i, 1], array['x']
                from generate_series(0, 7999) i
                """)
            #expect(lost.about == "customers/1")
            try await sample.featurize()
            let count = try await sample.column("select count(*)::text as value from naura.feature_row")
            #expect(count == ["9000"])
            #expect(try await said(FeaturesReady.self, in: sample.database).map(\.rows) == [9_000])
        }
    }

    @Test("a changed view is made again from every ready snapshot, and announced once at the end")
    func changedView() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.first))
            try await sample.publish(try sample.file(Self.header + "c,2026-02-01,9,3,z,No\n", "second.csv"))
            try await sample.featurize()
            let applied = try await sample.apply(
                DataSample.project.replacing("months: months", with: "double: months + months"))
            #expect(applied.version == 2)
            #expect(applied.orders.map(\.number) == [1, 2])
            #expect(applied.orders.map(\.announces) == [false, true])
            try await file(applied, sample)
            try await sample.featurize()
            #expect(
                try await rows(sample) == [
                    "a 2026-01-01 1.1 {5,4} {x}", "b 2026-01-02 1.2 {NULL,0} {NULL}", "a 2026-01-05 1.3 {2,8} {y}",
                    "c 2026-02-01 2.1 {3,6} {z}",
                ])
            #expect(try await online(sample) == ["a 1.3 {2,8}", "b 1.2 {NULL,0}", "c 2.1 {3,6}"])
            #expect(try await said(FeaturesReady.self, in: sample.database).map(\.number) == [1, 2, 2])
        }
    }

    @Test("a model that reads another label column gets its labels from every ready snapshot")
    func newLabel() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.first))
            try await sample.featurize()
            let second = "  plans:\n    label: { dataset: customers, column: plan }\n    features: [profile2]\n"
            let view = "  profile2: { entity: customer, dataset: customers, features: { months: months } }\nmodels:"
            let applied = try await sample.apply(
                DataSample.project.replacing("models:", with: view) + "\n" + second)
            #expect(applied.orders == [FeaturizeOrder(dataset: "customers", number: 1, labels: ["plan"])])
            try await file(applied, sample)
            try await sample.featurize()
            #expect(
                try await labels(sample)
                    == ["churn a 1.1 Yes", "churn b 1.2 No", "plan a 1.1 x", "plan a 1.3 y"])
            #expect(try await sample.apply(DataSample.project + "\n").orders.isEmpty)
        }
    }

    @Test("a project that is applied while a snapshot is being written finds its views filled afterwards")
    func appliedMeanwhile() async throws {
        try await DataSample.with { sample in
            try await sample.publish(try sample.file(Self.first))
            // Validated, not ready: no order is made for it; the job that waits sees the new view.
            let applied = try await sample.apply(DataSample.project.replacing("months: months", with: "m: months"))
            #expect(applied.orders.isEmpty)
            try await sample.featurize()
            #expect(try await rows(sample).count == 3)
        }
    }

    @Test("the same file twice on two databases gives the same rows")
    func determinism() async throws {
        var found: [[String]] = []
        for _ in 0..<2 {
            try await DataSample.with { sample in
                try await sample.publish(try sample.file(Self.first))
                try await sample.featurize()
                found.append(try await rows(sample) + (try await labels(sample)))
            }
        }
        #expect(found[0] == found[1])
    }

    private func file(_ applied: AppliedProject, _ sample: DataSample) async throws {
        let requests = try applied.orders.map { order in
            JobRequest(
                kind: FeaturizeSnapshot.kind, key: order.dataset, about: applied.about(order),
                arguments: String(decoding: try JSONEncoder().encode(order), as: UTF8.self))
        }
        try await sample.database.transaction { try await Jobs.file(requests, in: $0) }
    }
}
