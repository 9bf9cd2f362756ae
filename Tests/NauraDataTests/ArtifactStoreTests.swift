import Foundation
import NauraData
import Testing

@Suite struct ArtifactStoreTests {
    private let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    private func files(below folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).filter {
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(folder)/\($0)", isDirectory: &isFolder)
                && !isFolder.boolValue
        }
    }

    @Test("bytes are named by their SHA-256 and stored once, however often and by how many they are put")
    func puts() async throws {
        try await withFolder { folder in
            let source = try write("abc", "abc.txt", in: folder)
            let store = try ArtifactStore(directory: "\(folder)/store")
            let names = try await withThrowingTaskGroup(of: String.self) { group in
                for index in 0..<16 {
                    group.addTask {
                        index.isMultiple(of: 2) ? try store.put(file: source) : try store.put(Array("abc".utf8))
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(names) == [abc])
            #expect(try files(below: "\(folder)/store") == ["sha256/ba/\(abc)"])
            #expect(try store.bytes(abc) == Array("abc".utf8))
            #expect(try store.open(abc) == store.path(of: abc))
        }
    }

    @Test("an artifact that changed on disk, or is gone, is not opened")
    func verification() async throws {
        try await withFolder { folder in
            let store = try ArtifactStore(directory: folder)
            try store.put(Array("abc".utf8))
            try Data("abd".utf8).write(to: URL(fileURLWithPath: store.path(of: abc)))
            do throws(DataFault) {
                _ = try store.open(abc)
                Issue.record("a changed artifact was opened")
            } catch {
                #expect(error.code == .checksum)
            }
            do throws(DataFault) {
                _ = try store.bytes(String(repeating: "0", count: 64))
                Issue.record("a missing artifact was opened")
            } catch {
                #expect(error.code == .artifactMissing)
            }
        }
    }

    @Test("a put that fails leaves no file, and the sweep removes only what was left long ago")
    func sweeping() async throws {
        try await withFolder { folder in
            let store = try ArtifactStore(directory: folder)
            #expect(throws: DataFault.self) { try store.put(file: "\(folder)/nothing") }
            #expect(try files(below: folder).isEmpty)
            _ = try write("left behind", "writing/old", in: folder)
            _ = try write("being written", "writing/\(try own(store))/mine", in: folder)
            #expect(try store.sweep(now: Date()) == 0)
            #expect(try files(below: folder).count == 2)
            // A folder that no process holds locked is a dead one's.
            try FileManager.default.createDirectory(
                atPath: "\(folder)/writing/dead", withIntermediateDirectories: true)
            _ = try write("half", "writing/dead/part", in: folder)
            #expect(try store.sweep(now: Date()) == 1)
            #expect(unlink("\(try store.writingFolder())/mine") == 0)
            #expect(try store.sweep(now: Date().addingTimeInterval(90_000)) == 1)
            #expect(try files(below: folder).isEmpty)
        }
    }

    private func own(_ store: ArtifactStore) throws -> String {
        URL(filePath: try store.writingFolder()).lastPathComponent
    }

    @Test("a package is named by its files' paths and bytes, and comes back whole")
    func packages() async throws {
        try await withFolder { folder in
            let store = try ArtifactStore(directory: "\(folder)/store")
            let contents: [String: [UInt8]] = ["MLmodel": [1, 2], "data/model.json": Array("{}".utf8)]
            let package = try store.putPackage(contents)
            #expect(try store.putPackage(contents) == package)
            #expect(try store.putPackage(["MLmodel": [1, 2], "data/other.json": Array("{}".utf8)]) != package)
            #expect(try store.packageFiles(package.sha256) == contents)
            try store.writePackage(package.sha256, to: "\(folder)/out")
            #expect(try store.putPackage(directory: "\(folder)/out") == package)
            #expect(throws: DataFault.self) { try store.putPackage(["../x": [1]]) }
        }
    }
}

@Suite struct DataSourceTests {
    private func fault(_ uri: String, format: DataFormat = .csv, sha256: String? = nil) async throws -> DataFault? {
        try await withFolder { folder -> DataFault? in
            do throws(DataFault) {
                _ = try await DataSource.fetch(uri: uri, format: format, expectedSHA256: sha256, into: "\(folder)/in")
                return nil
            } catch {
                let left = try FileManager.default.subpathsOfDirectory(atPath: folder)
                #expect(left == ["in"] || left.isEmpty)
                return error
            }
        }
    }

    @Test("a file is copied with its SHA-256 and size")
    func files() async throws {
        try await withFolder { folder in
            let path = try write("abc", "a b%20c.csv", in: folder)
            for uri in ["file://\(path)", "file://localhost\(path.replacingOccurrences(of: "%", with: "%25"))"] {
                let fetched = try await DataSource.fetch(uri: uri, format: .csv, into: "\(folder)/in")
                #expect(fetched.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
                #expect(fetched.bytes == 3)
                #expect(try String(contentsOfFile: fetched.path, encoding: .utf8) == "abc")
            }
        }
    }

    @Test("what is not there or cannot be read is named with its address")
    func absent() async throws {
        let missing = try #require(try await fault("file:///nowhere/data.csv"))
        #expect(missing.code == .notFound)
        #expect(missing.message.contains("file:///nowhere/data.csv"))
        #expect(try await fault("file:///tmp")?.code == .unreadable)
        #expect(try await fault("s3://bucket/key")?.message.contains("not supported yet") == true)
        #expect(try await fault("ftp://host/file")?.code == .unsupported)
        #expect(try await fault("data.csv")?.code == .unsupported)
        #expect(try await fault("file://elsewhere/data.csv")?.code == .unsupported)
        #expect(try await fault("file:///tmp/x.parquet", format: .parquet)?.code == .unsupported)
        #expect(try await fault("http://127.0.0.1:1/data.csv")?.isTransient == true)
    }

    @Test("other bytes than the event announces are refused")
    func checksum() async throws {
        try await withFolder { folder in
            let path = try write("abc", in: folder)
            let fault = try await fault("file://\(path)", sha256: String(repeating: "0", count: 64))
            #expect(fault?.code == .checksum)
        }
    }

    @Test("a file comes over HTTP; what is missing, broken or cut off is named, and only what may pass is transient")
    func http() async throws {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n"
        let server = try CannedServer([
            "/whole.csv": head + "content-length: 3\r\n\r\nabc",
            "/chunked.csv": head + "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "/cut.csv": head + "content-length: 30\r\n\r\nabc",
            "/busy.csv": "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "/closed.csv": "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ])
        defer { server.close() }
        let root = "http://127.0.0.1:\(server.port)"
        try await withFolder { folder in
            for path in ["whole", "chunked"] {
                let fetched = try await DataSource.fetch(uri: "\(root)/\(path).csv", format: .csv, into: folder)
                #expect(fetched.sha256.hasPrefix("ba7816bf"))
            }
        }
        let missing = try #require(try await fault("\(root)/nothing.csv"))
        #expect(missing.code == .notFound)
        #expect(!missing.isTransient)
        #expect(try await fault("\(root)/closed.csv")?.isTransient == false)
        #expect(try await fault("\(root)/busy.csv")?.isTransient == true)
        let cut = try #require(try await fault("\(root)/cut.csv"))
        #expect(cut.code == .cutOff)
        #expect(cut.isTransient)
    }
}
