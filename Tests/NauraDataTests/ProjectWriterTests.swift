import Foundation
import NauraData
import NauraRules
import Testing

@Suite struct ProjectWriterTests {
    private func file(rows: Int, _ row: (Int) -> String, header: String) -> String {
        header + "\n" + (0..<rows).map { row($0) + "\n" }.joined()
    }

    @Test("a project is made from a file with odd column names, and reads back")
    func odd() async throws {
        let text = file(
            rows: 400,
            { row in
                "k\(row),\(row % 7),\(row % 2 == 0),c\(row % 3),t\(row),x,2013-01-0\(1 + row % 9),"
                    + "\(row % 5 == 0 ? "Yes" : "No"),2013-02-01 00:00:0\(row % 10)"
            }, header: "Flight ID,\"dep.delay \"\"min\"\"\",null,Größe,remark,fixed,day,late?,Event Time")
        try await withFolder { folder in
            let source = try write(text, in: folder)
            let written = try ProjectWriter.write(
                .init(
                    directory: "\(folder)/My Flights", source: source, key: "Flight ID", label: "late?",
                    timestamp: "Event Time"))
            #expect(written.name == "My-Flights")
            #expect(written.features == ["dep.delay \"min\"", "null", "Größe"])
            #expect(written.skipped.map(\.column) == ["Flight ID", "remark", "fixed", "day", "late?", "Event Time"])
            #expect(written.positive == "Yes")
            let project = try ProjectReader.read(path: written.projectFile).definition
            #expect(project.name == "My-Flights")
            let view = try #require(project.featureViews["My-Flights"])
            #expect(view.features.map(\.name) == written.features)
            #expect(view.features.map(\.expression.referencedColumns) == written.features.map { [$0] })
            #expect(view.features.map(\.type) == [.number, .number, .text])
            let model = try #require(project.models["My-Flights"])
            #expect(model.label.positive == "Yes")
            #expect(model.retrain.quietPeriodSeconds == 2)
            #expect(model.retrain.cooldownSeconds == 0)
            #expect(model.rollout.isImmediate)
            #expect(model.holdoutShare == 0.4)
            #expect(project.datasets["My-Flights"]?.timestamp == .column("Event Time"))
            #expect(throws: DataFault.self) {
                try ProjectWriter.write(.init(directory: "\(folder)/My Flights", source: source, key: "a", label: "b"))
            }
        }
    }

    @Test(
        "a project that cannot be made says every reason",
        arguments: [
            ("id,x,late\n1,2,0\n2,3,1\n", "idd", "lat", "did you mean 'id'?"),
            ("id,x,late\n1,2,0\n2,3,1\n3,4,2\n", "id", "late", "exactly two classes, found 3 (0, 1, 2)"),
            ("id,x,late\n,2,0\n2,3,1\n", "id", "late", "key 'id' has no value in 1 of 2 rows"),
            ("id,x,late\n1,5,0\n2,5,1\n", "id", "late", "no column can be a feature"),
            ("id;x;late\n1;5;0\n", "id", "late", "other than commas"),
            ("id,x,late\n", "id", "late", "no rows"),
        ] as [(String, String, String, String)])
    func faults(_ text: String, _ key: String, _ label: String, _ expected: String) async throws {
        try await withFolder { folder in
            let source = try write(text, in: folder)
            do throws(DataFault) {
                _ = try ProjectWriter.write(.init(directory: "\(folder)/p", source: source, key: key, label: label))
                Issue.record("a project was made")
            } catch {
                #expect(error.message.contains(expected), "\(error)")
            }
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/p/naura.yaml"))
        }
    }

    @Test("a timestamp column must hold a moment in every row")
    func timestamps() async throws {
        let text = "id,x,late,when\n1,2,0,20130101\n2,3,1,20130102\n"
        try await withFolder { folder in
            let source = try write(text, in: folder)
            let request = ProjectWriter.Request(
                directory: "\(folder)/p", source: source, key: "id", label: "late", timestamp: "when")
            do throws(DataFault) {
                _ = try ProjectWriter.write(request)
                Issue.record("a project was made")
            } catch {
                #expect(error.message.contains("holds no moments"))
            }
        }
    }
}
