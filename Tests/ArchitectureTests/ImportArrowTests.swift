// The arrows between the rooms are the only imports there are. SwiftPM's own check finds nothing, so this one reads
// every file.

import Foundation
import Testing

/// What a room may import: our own rooms, and packages beyond the Swift toolchain's own modules.
private let arrows: [String: (rooms: Set<String>, packages: Set<String>)] = [
    "NauraRules": ([], []),
    "NauraSchemas": ([], []),
    "NauraEvents": (["NauraSchemas"], ["Crypto"]),
    "NauraFailpoints": ([], []),
    "NauraProcess": ([], []),
    "NauraPostgres": (["NauraFailpoints", "NauraProcess", "CLibPQ"], ["Logging"]),
    "NauraKafka": (["NauraProcess", "CRDKafka"], ["Logging"]),
    "NauraLedger": (["NauraFailpoints", "NauraPostgres", "NauraEvents"], ["Crypto"]),
    "NauraStage": (
        ["NauraFailpoints", "NauraProcess", "NauraKafka", "NauraLedger", "NauraPostgres", "NauraEvents"],
        [
            "Logging", "Hummingbird", "ServiceLifecycle", "UnixSignals", "Configuration", "NIOCore", "NIOHTTP1",
            "HTTPTypes", "AsyncHTTPClient",
        ]
    ),
    "NauraStore": (["NauraPostgres", "NauraRules"], []),
    "NauraData": (
        ["NauraFailpoints", "NauraRules"],
        ["Crypto", "AsyncHTTPClient", "NIOCore", "NIOHTTP1", "NIOFoundationCompat", "Yams"]
    ),
    "NauraModels": (["CXGBoost", "NauraRules"], ["Crypto"]),
    "NauraServing": (
        ["NauraModels", "NauraStore", "NauraPostgres", "NauraData", "NauraEvents", "NauraRules"],
        ["Logging", "Hummingbird", "ServiceLifecycle", "NIOCore", "NIOHTTP1", "NIOPosix", "HTTPTypes", "Crypto"]
    ),
    "NauraAPI": (
        ["NauraStore", "NauraLedger", "NauraPostgres", "NauraData", "NauraEvents", "NauraRules"],
        ["Logging", "Hummingbird", "Mustache", "ServiceLifecycle", "NIOCore", "HTTPTypes", "Crypto"]
    ),
    "NauraTestKit": (
        [
            "NauraStage", "NauraKafka", "NauraLedger", "NauraPostgres", "NauraStore", "NauraEvents", "NauraSchemas",
            "NauraData", "NauraRules",
        ], ["Logging"]
    ),
    "CLibPQ": ([], []), "CRDKafka": ([], []), "CXGBoost": ([], []),
    "naura": (
        [
            "NauraStage", "NauraAPI", "NauraServing", "NauraData", "NauraModels", "NauraStore", "NauraLedger",
            "NauraRules", "NauraEvents", "NauraSchemas", "NauraPostgres", "NauraKafka", "NauraProcess",
        ], ["AsyncHTTPClient", "NIOCore", "NIOHTTP1", "ArgumentParser", "Logging", "Hummingbird", "HTTPTypes"]
    ),
]

/// A worker touches neither a C library nor Kafka. It names NauraPostgres only for the types of a transaction.
private let workerArrows: (rooms: Set<String>, packages: Set<String>) = (
    [
        "NauraStage", "NauraAPI", "NauraServing", "NauraData", "NauraModels", "NauraStore", "NauraLedger",
        "NauraRules", "NauraEvents", "NauraPostgres", "NauraFailpoints",
    ],
    ["Logging", "Configuration", "ServiceLifecycle", "AsyncHTTPClient", "NIOCore", "NIOHTTP1", "NIOFoundationCompat"]
)

/// Modules of the Swift toolchain, which every room may import; NauraRules' own list is shorter.
private let toolchain: Set<String> = [
    "Foundation", "FoundationEssentials", "Synchronization", "Dispatch", "Glibc", "Darwin", "Musl", "Swift",
]

@Suite("The arrows between the rooms")
struct ImportArrowTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    @Test("no file imports what its room's arrows do not allow")
    func importsFollowArrows() throws {
        var faults: [String] = []
        for (room, folder) in try Self.rooms() {
            let allowed = folder.contains("/workers/") ? workerArrows : arrows[room]
            guard let allowed else {
                faults.append("\(room): a new room needs its arrows here, and a sentence in ARCHITECTURE.md")
                continue
            }
            for (file, module) in try Self.imports(below: folder)
            where module != room && !allowed.rooms.contains(module) && !allowed.packages.contains(module)
                && !toolchain.contains(module)
            {
                faults.append("\(file) imports \(module)")
            }
        }
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test("NauraRules reads no clock, no file and no environment")
    func rulesArePure() throws {
        let forbidden = [
            "Date()", "Date.now", "FileManager", "ProcessInfo", ".random(", "ContinuousClock", "URLSession",
        ]
        var faults: [String] = []
        for file in try Self.files(below: Self.root.appending(path: "Sources/NauraRules").path) {
            let text = try String(contentsOfFile: file, encoding: .utf8)
            for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
            where !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
                for word in forbidden where line.contains(word) { faults.append("\(file):\(number + 1): \(word)") }
            }
        }
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test("SQL stands only in the rooms that own tables")
    func sqlStaysHome() throws {
        let pattern = try Regex(#"(?i)"[^"]*\b(select .+ from|insert into|update [a-z_.]+ set|delete from) "#)
        let homes = ["NauraStore", "NauraLedger", "NauraPostgres", "NauraTestKit", "NauraSchemas"]
        var faults: [String] = []
        for (room, folder) in try Self.rooms() where !homes.contains(room) {
            for file in try Self.files(below: folder) {
                let text = try String(contentsOfFile: file, encoding: .utf8)
                for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
                where !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") && line.contains(pattern) {
                    faults.append("\(file):\(number + 1)")
                }
            }
        }
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    // MARK: - Reading the tree

    private static func rooms() throws -> [(room: String, folder: String)] {
        try ["Sources", "workers"].flatMap { parent in
            let folder = root.appending(path: parent).path
            return try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
                .map { ($0, "\(folder)/\($0)") }
                .filter { (try? files(below: $0.1).isEmpty) == false }
        }
    }

    private static func files(below folder: String) throws -> [String] {
        guard let paths = FileManager.default.enumerator(atPath: folder) else { return [] }
        return paths.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.map { "\(folder)/\($0)" }
    }

    /// Modules begin with a capital; `import json` in the text of a Python file does not count.
    private static func imports(below folder: String) throws -> [(file: String, module: String)] {
        let pattern =
            /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?import\s+(?:(?:struct|class|enum|func|protocol|typealias|var|let)\s+)?([A-Z]\w*)/
        return try files(below: folder).flatMap { file in
            try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").compactMap { line in
                line.firstMatch(of: pattern).map { (file, String($0.output.1)) }
            }
        }
    }
}
