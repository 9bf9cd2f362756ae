import Foundation
import Testing

@testable import NauraEvents

/// Reads the workers' sources: what they handle and emit is what the catalogue, and with it AsyncAPI, says.
@Suite("The catalogue and the workers' code")
struct CatalogueTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let workers = root.appending(path: "workers")

    /// The text of each worker, by its name.
    private static func sources() throws -> [String: String] {
        var sources: [String: String] = [:]
        for folder in try FileManager.default.contentsOfDirectory(at: workers, includingPropertiesForKeys: nil)
        where folder.hasDirectoryPath {
            let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            for file in files.sorted(by: { $0.path < $1.path }) where file.pathExtension == "swift" {
                sources[folder.lastPathComponent, default: ""] += try String(contentsOf: file, encoding: .utf8)
            }
        }
        return sources
    }

    @Test("each worker has a stage for exactly the topics that it is said to consume")
    func consumers() throws {
        let sources = try Self.sources()
        #expect(sources.count == 10)
        for (worker, text) in sources {
            let handled = Set(text.matches(of: /func handle\(\s*_ \w+: Event<(\w+)>/).map { String($0.1) })
            let expected = EventCatalogue.entries.filter { $0.consumers.contains(worker) }.map(\.payloadName)
            #expect(handled == Set(expected), "\(worker)")
        }
    }

    @Test("each worker is said to produce what its code says, and says what it is said to produce")
    func producers() throws {
        for (worker, text) in try Self.sources() where worker != "api" {
            var said = Set(text.matches(of: /\.emit\(\s*([A-Z]\w+)\(/).map { String($0.1) })
            // An event that is handed over by name would be seen by nobody here.
            let calls = text.matches(of: /\.emit\(/).count
            #expect(
                calls == text.matches(of: /\.emit\(\s*[A-Z]\w+\(/).count, "\(worker) emits what this test cannot see")
            // Telemetry is published past the outbox.
            said.formUnion(text.matches(of: /envelope\((\w+)\.type,/).map { String($0.1) })
            // The runtime says dead letters for whoever handles events or does jobs.
            if text.contains(/\.(stage|runner)\(/) { said.insert("DeadLetter") }
            let expected = EventCatalogue.entries.filter { $0.producers.contains(worker) }.map(\.payloadName)
            #expect(said == Set(expected), "\(worker)")
        }
    }

    @Test("the command line is said to produce what its commands say, and says what it is said to produce")
    func commandLine() throws {
        let text = try Self.text(below: Self.root.appending(path: "Sources/naura"))
        var said = Set(text.matches(of: /payload\(\) throws -> ([A-Z]\w+) \{/).map { String($0.1) })
        said.formUnion(text.matches(of: /let payload = ([A-Z]\w+)\(/).map { String($0.1) })
        let expected = EventCatalogue.entries.filter { $0.producers.contains("naura") }.map(\.payloadName)
        #expect(said == Set(expected))
    }

    @Test("every type of payload stands in the catalogue")
    func payloads() throws {
        let text = try Self.text(below: Self.root.appending(path: "Sources/NauraEvents/Payloads"))
        let types = Set(text.matches(of: /struct (\w+): EventPayload/).map { String($0.1) })
        #expect(types == Set(EventCatalogue.entries.map(\.payloadName)))
    }

    @Test("no code names a topic by a text of its own")
    func topics() throws {
        for folder in ["Sources", "workers"] {
            let text = try Self.text(below: Self.root.appending(path: folder))
            let named = text.matches(of: /topics?: \[?"([^"]*)"/).map { String($0.1) }
            #expect(named.isEmpty, "\(folder): \(named)")
        }
    }

    /// The text of all Swift files below `folder`.
    private static func text(below folder: URL) throws -> String {
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)?.compactMap {
            $0 as? URL
        }
        return try (files ?? []).filter { $0.pathExtension == "swift" }.sorted { $0.path < $1.path }
            .map { try String(contentsOf: $0, encoding: .utf8) }.joined()
    }
}
