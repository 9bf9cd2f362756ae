import Foundation
import NauraData
import Testing

@Suite struct CSVReaderTests {
    private func read(_ text: String) async throws -> (columns: [String], rows: [[String]]) {
        try await withFolder { folder in
            let reader = try CSVReader(path: try write(text, in: folder))
            return (reader.columns, try rows(reader))
        }
    }

    private func fault(_ bytes: [UInt8]) async throws -> DataFault? {
        try await withFolder { folder -> DataFault? in
            do {
                _ = try rows(try CSVReader(path: try write(bytes, in: folder)))
                return nil
            } catch let fault as DataFault {
                return fault
            }
        }
    }

    @Test("quoted fields hold commas, line ends and doubled quotes")
    func quoting() async throws {
        let read = try await read("a,b\n\"x,\ny\",\"say \"\"hi\"\"\"\n,\"\"\n")
        #expect(read.columns == ["a", "b"])
        #expect(read.rows == [["x,\ny", "say \"hi\""], ["", ""]])
    }

    @Test("a byte order mark, CR LF, lone CR, blank lines and a missing last line end change nothing")
    func lineEnds() async throws {
        let expected = [["1", "2"], ["3", "4"]]
        #expect(try await read("\u{FEFF}a,b\r\n1,2\r\n\r\n3,4").rows == expected)
        #expect(try await read("a,b\r1,2\r3,4\r").rows == expected)
        #expect(try await read("\n a , b\n1,2\n3,4\n\n\n").rows == expected)
        #expect(try await read("\n a , b\n1,2\n3,4\n").columns == ["a", "b"])
    }

    @Test("a column without a name is called by its place")
    func unnamed() async throws {
        #expect(try await read(",b,\n1,2,3\n").columns == ["unnamed-1", "b", "unnamed-3"])
    }

    @Test("a file with one column keeps its empty rows")
    func oneColumn() async throws {
        #expect(try await read("a\n1\n\n2\n").rows == [["1"], [""], ["2"]])
    }

    @Test("a field longer than the buffer is whole, wherever the buffer ends")
    func longFields() async throws {
        let long = String(repeating: "0123456789", count: 60_000)
        let quoted = String(repeating: "\"\",\n", count: 100_001)
        let read = try await read("a,b\n\(long),\"\(quoted)\"\nx,y\n")
        #expect(read.rows[0][0] == long)
        #expect(read.rows[0][1].utf8.count == 3 * 100_001)
        #expect(read.rows[1] == ["x", "y"])
    }

    @Test(
        "each kind of broken file is named with its line",
        arguments: [
            ("", "empty", nil), ("\n\n", "empty", nil), ("a,b\n", "header-only", 1), ("a,b", "header-only", 1),
            ("a,a\n1,2\n", "duplicate-column", 1), ("a,b\n1,2\n1,2,3\n", "field-count", 3),
            ("a,b\n1\n1,2\n", "field-count", 2), ("a,b\n1,2\n3", "cut-off", 3), ("a,b\n1,\"x\ny", "cut-off", 2),
            ("a,b\n1,2\n\"3\n4\n5\",6\n7,\"8\"9\n", "malformed", 6), ("a,b\n1,x\u{0}\n", "encoding", 2),
        ] as [(String, String, Int?)])
    func faults(_ text: String, _ code: String, _ line: Int?) async throws {
        let fault = try await fault(Array(text.utf8))
        #expect(fault?.code.rawValue == code)
        #expect(fault?.line == line)
        #expect(fault?.isTransient == false)
    }

    @Test("bytes that are not UTF-8 are named with their line")
    func encoding() async throws {
        for bad: [UInt8] in [[0xE9], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82]] {
            let fault = try await fault(Array("a,b\ngrün,1\n".utf8) + bad + Array(",2\n".utf8))
            #expect(fault?.code == .encoding)
            #expect(fault?.line == 3)
        }
        #expect(try await fault([0xFF, 0xFE, 0x61, 0x00])?.code == .encoding)
        #expect(try await fault(Array("a\u{10FFFF}é,b\n1,2\n".utf8)) == nil)
        #expect(try await fault([0x1F, 0x8B, 8, 0])?.message.contains("gzip") == true)
    }

    @Test("a file that is not there and a format that is not read say so")
    func absent() {
        #expect(throws: DataFault.self) { try CSVReader(path: "/nowhere/data.csv") }
        do {
            _ = try DataFile.open(path: "/nowhere", format: .parquet)
            Issue.record("Parquet was opened")
        } catch {
            #expect(error.code == .unsupported)
        }
    }
}

@Suite struct JSONLReaderTests {
    private func fault(_ text: String) async throws -> DataFault? {
        try await withFolder { folder -> DataFault? in
            do {
                _ = try rows(try JSONLReader(path: try write(text, in: folder)))
                return nil
            } catch let fault as DataFault {
                return fault
            }
        }
    }

    @Test("objects become rows over all their keys, in the order of their first appearance")
    func objects() async throws {
        let text = """
            {"id": 1, "name": "x\\n\\u00e9\\ud83d\\ude00", "on": true}

            {"name": null, "id": 2.50, "more": {"a": [1, "]"]}}
            {}
            """
        try await withFolder { folder in
            let reader = try JSONLReader(path: try write(text, in: folder))
            #expect(reader.columns == ["id", "name", "on", "more"])
            let expected = [
                ["1", "x\né😀", "true", ""], ["2.50", "", "", "{\"a\": [1, \"]\"]}"], ["", "", "", ""],
            ]
            #expect(try rows(reader) == expected)
        }
    }

    @Test(
        "each kind of broken line is named with its number",
        arguments: [
            ("", "empty", nil), ("{}\n", "empty", nil), ("{\"a\":1}\n[1]\n", "malformed", 2),
            ("{\"a\":1}\n{\"a\":nul}\n", "malformed", 2), ("{\"a\":1,\"a\":2}\n", "duplicate-column", 1),
            ("{\"a\":1}\n{\"a\":", "cut-off", 2), ("{\"a\":\"\\u0000\"}\n", "encoding", 1),
            ("{\"a\":1} x\n", "malformed", 1), ("{\"a\":\"\\ud800\"}\n", "malformed", 1),
        ] as [(String, String, Int?)])
    func faults(_ text: String, _ code: String, _ line: Int?) async throws {
        let fault = try await fault(text)
        #expect(fault?.code.rawValue == code)
        #expect(fault?.line == line)
    }
}
