import Foundation
import NauraTestKit
import Testing

/// What needs no server: files in, files and exit codes out.
@Suite("The command line on files")
struct FilesTests {
    @Test("init makes a project from an odd CSV file, and apply --check finds it right")
    func initOdd() async throws {
        try await Program.with { naura in
            let rows = (0..<400).map { row in
                "k\(row),\(row % 7),\(row % 11 == 0 ? "" : "\(row).5"),c\(row % 3),\"a, \"\"quoted\"\"\nremark\","
                    + "\(row % 5 == 0 ? "Yes" : "No"),2013-02-01 00:00:0\(row % 10)"
            }
            let header = "\u{FEFF}Flight ID,\"dep.delay \"\"min\"\"\",weight,Größe,note,late?,Event Time"
            let file = try naura.write(
                ([header] + rows).joined(separator: "\r\n") + "\r\n", to: "odd name.csv")
            let made = try await naura(
                "init", "My Flights", "--from", file, "--key", "Flight ID", "--label", "late?", "--timestamp",
                "Event Time")
            #expect(made.code == 0, "\(made.errors)")
            #expect(made.output.contains("model My-Flights predicts late? = Yes"))
            #expect(made.output.contains("naura publish new-data --dataset My-Flights --uri file://"))
            let text = try String(contentsOf: naura.folder.appending(path: "My Flights/naura.yaml"), encoding: .utf8)
            for line in ["quiet-period: 2s", "cooldown: 0s", "steps: [100%]"] { #expect(text.contains(line)) }
            let check = try await naura("apply", "--check", "My Flights/naura.yaml")
            #expect(check.code == 0, "\(check.errors)")
            let again = try await naura(
                "init", "My Flights", "--from", file, "--key", "Flight ID", "--label", "late?")
            #expect(again.code == 1)
            #expect(again.errors.contains("is there already"))
        }
    }

    @Test(
        "init says all that is wrong with a file, ends with 1 and leaves no project file",
        arguments: [
            ("id,x,late\n1,2,0\n2,3,1\n", "idd", "lat", ["did you mean 'id'?", "did you mean 'late'?"]),
            ("id,x,late\n1,2,0\n2,3,1\n3,4,2\n", "id", "late", ["exactly two classes, found 3 (0, 1, 2)"]),
            ("id,x,late\n", "id", "late", ["no rows"]), ("", "id", "late", ["the file is empty"]),
            ("id,x,x\n1,2,0\n", "id", "x", ["x"]),
        ] as [(String, String, String, [String])])
    func initFaults(_ text: String, _ key: String, _ label: String, _ expected: [String]) async throws {
        try await Program.with { naura in
            let file = try naura.write(text, to: "data.csv")
            let made = try await naura("init", "p", "--from", file, "--key", key, "--label", label)
            #expect(made.code == 1)
            for words in expected { #expect(made.errors.contains(words), "\(made.errors)") }
            #expect(!made.errors.isEmpty && made.output.isEmpty)
            #expect(!FileManager.default.fileExists(atPath: naura.folder.appending(path: "p/naura.yaml").path))
        }
    }

    @Test("what the command line does not understand ends with 64, and says what it expects")
    func usage() async throws {
        try await Program.with { naura in
            let cases: [([String], String)] = [
                (["publish", "no-such-kind"], "no-such-kind"), (["publish", "new-data", "--dataset", "a"], "--uri"),
                (["wait", "some-event", "--timeout", "soon"], "--timeout"), (["nonsense"], "nonsense"),
                (["up", "--scale", "trains=2"], "trains"), (["dlq", "redrive"], "--all"),
                (["dlq", "redrive", "1", "--all"], "either"), (["dlq", "drop", "1"], "--reason"),
                (["dlq", "drop", "1", "--reason", " "], "say why"), (["dlq", "list", "--since", "soon"], "--since"),
                (["dlq", "list", "--state", "lost"], "--state"),
            ]
            for (arguments, word) in cases {
                let result = try await naura.run(arguments)
                #expect(result.code == 64, "\(arguments): \(result.code) \(result.errors)")
                #expect(result.errors.contains(word), "\(arguments): \(result.errors)")
                #expect(result.output.isEmpty)
            }
            #expect(try await naura("--help").code == 0)
            #expect(try await naura("--version").output == "0.1.0\n")
        }
    }

    @Test("a command without a state says what to do, and ends with 1")
    func noState() async throws {
        try await Program.with { naura in
            for arguments in [["status"], ["events"], ["workers"], ["dlq", "list"], ["down"]] {
                let result = try await naura.run(arguments)
                #expect(result.code == 1)
                #expect(result.errors.contains("naura up") || result.errors.contains(".naura/"), "\(result.errors)")
            }
        }
    }
}
