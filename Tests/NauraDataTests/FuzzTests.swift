// Damaged files: data, projects and contracts are read to their end or refused with a reason, and never read otherwise.

import Foundation
import NauraTestKit
import Testing

@testable import NauraData

@Suite("Fuzzed files")
struct FuzzTests {
    @Test("a CSV file is refused with a reason, or reads the same when each of its fields is quoted")
    func csv() async throws {
        let samples = [
            "id,name,late\n1,\"a, \"\"b\"\"\",0\n2,,1\n", "\u{FEFF}a,b\r\n1,2\r\n\r\n\"3\n4\",é\r\n", "x\n1\n\n2\n",
        ]
        try await withFolder { folder in
            try await Fuzz.run("csv", samples: samples.map { Array($0.utf8) }, tokens: ["\"\"", "\r", "a,a"]) { input in
                do {
                    let reader = try CSVReader(path: try write(input, in: folder))
                    let found = try rows(reader)
                    let quoted = ([reader.columns] + found).map(line).joined()
                    let other = try CSVReader(path: try write(quoted, "quoted.csv", in: folder))
                    try Fuzz.require(other.columns == reader.columns, "other columns: \(other.columns)")
                    try Fuzz.require(try rows(other) == found, "other rows than \(found)")
                } catch let fault as DataFault {
                    try Fuzz.require(!fault.message.isEmpty, "a fault without words")
                }
            }
        }
    }

    private func line(_ fields: [String]) -> String {
        fields.map { "\"\($0.replacing("\"", with: "\"\""))\"" }.joined(separator: ",") + "\n"
    }

    @Test("a JSON lines file is refused with a reason, or each row has each column")
    func jsonLines() async throws {
        let samples = [
            #"{"id":1,"name":"a\"b","late":true}"# + "\n" + #"{"id":2,"late":null,"name":"é"}"# + "\n",
            #"{"a":-1.5e3,"b":"\ud83d\ude00"}"# + "\n\n",
        ]
        try await withFolder { folder in
            try await Fuzz.run(
                "jsonl", samples: samples.map { Array($0.utf8) }, tokens: [#"\ud800"#, #"\u0000"#, "{}", #""id":"#]
            ) { input in
                do {
                    let reader = try JSONLReader(path: try write(input, "data.jsonl", in: folder))
                    for row in try rows(reader) {
                        try Fuzz.require(row.count == reader.columns.count, "a row of \(row.count) fields")
                    }
                } catch let fault as DataFault {
                    try Fuzz.require(!fault.message.isEmpty, "a fault without words")
                }
            }
        }
    }

    @Test("a project file is read, or its faults name lines of it and what was expected")
    func projects() async throws {
        let example = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../examples/churn")
            .standardizedFileURL
        let contracts = example.appending(path: "contracts")
        let project = try Data(contentsOf: example.appending(path: "naura.yaml"))
        let tokens = ["&a ", "*a", "!!binary ", "- ", "? ", "|\n", "%", "5%", "7d", "<<: ", "models:", "\t"]
        try await Fuzz.run("project", samples: [Array(project)], tokens: tokens) { input in
            try judge(input) { try ProjectReader.read(yaml: $0, directory: example.path) }
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: contracts.path).sorted()
        let samples = try names.map { Array(try Data(contentsOf: contracts.appending(path: $0))) }
        try await Fuzz.run("contract", samples: samples, tokens: tokens) { input in
            try judge(input) { try ContractFile.read(yaml: $0, file: "contract.yaml") }
        }
    }

    private func judge(_ input: [UInt8], _ read: (String) throws -> some Any) throws {
        let text = String(decoding: input, as: UTF8.self)
        do {
            _ = try read(text)
        } catch let refusal as ProjectFaults {
            try Fuzz.require(!refusal.faults.isEmpty, "no fault")
            for fault in refusal.faults {
                try Fuzz.require(!fault.expected.isEmpty && fault.line >= 0, "\(fault)")
            }
        }
    }

    @Test("a moment that is read is written as the same moment")
    func moments() async throws {
        let samples = [
            "2026-03-29T02:30:00.123456Z", "2013-01-01 05:15:00", "2026-03-29", "2026-03-29T02:30:00+02:00",
            "20260329T0230",
        ]
        try await Fuzz.run("moments", samples: samples.map { Array($0.utf8) }, tokens: ["T", "Z", "+14:00", "9999-"]) {
            guard let moment = $0.withUnsafeBufferPointer(Timestamp.microseconds) else { return }
            let text = Array(Timestamp.text(moment).utf8)
            let again = text.withUnsafeBufferPointer(Timestamp.microseconds)
            try Fuzz.require(again == moment, "\(moment) is written \(String(decoding: text, as: UTF8.self))")
        }
    }
}
