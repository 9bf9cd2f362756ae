import Foundation
import Testing

@testable import NauraEvents

/// Reads the workers' sources: what they handle and emit is what the catalogue, and with it AsyncAPI, says.
@Suite("The catalogue and the workers' code")
struct CatalogueTests {
    private static let workers = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appending(path: "workers")

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

    @Test("each worker is said to produce what it emits")
    func producers() throws {
        for (worker, text) in try Self.sources() {
            for match in text.matches(of: /\.emit\(\s*([A-Z]\w+)\(/) {
                let entry = EventCatalogue.entries.first { $0.payloadName == match.1 }
                #expect(entry?.producers.contains(worker) == true, "\(worker) emits \(match.1)")
            }
        }
    }
}
