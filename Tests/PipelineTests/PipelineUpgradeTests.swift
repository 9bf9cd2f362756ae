// A whole run in whose midst the system is upgraded, held against one of the new programs alone. `make upgrade
// FROM=COMMIT` builds the earlier ones and names their folder in NAURA_UPGRADE_FROM.

import Foundation
import NauraPostgres
import NauraTestKit
import Testing

@Suite(
    "An upgrade of the whole pipeline", .serialized, .timeLimit(.minutes(10)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct PipelineUpgradeTests {
    private static let earlier = ProcessInfo.processInfo.environment["NAURA_UPGRADE_FROM"].map { URL(filePath: $0) }

    @Test(
        """
        Workers of an earlier commit and of this one side by side, killed and started from one to the other, leave the \
        tables of an undisturbed run of this one
        """, .enabled(if: earlier != nil, "needs NAURA_UPGRADE_FROM, the programs of an earlier commit; make upgrade"))
    func upgrade() async throws {
        let earlier = try #require(Self.earlier)
        let data = try SampleData.write()
        defer { data.remove() }
        let calm = try await TestDatabase.withURL { url in
            let system = try await PipelineSystem(databaseURL: url)
            try await system.apply(data.projectFile)
            try system.start(instances: 1)
            for (index, file) in data.files.enumerated() { try await carry(file, index, data, system) }
            return try await finish(system)
        }
        let upgraded = try await TestDatabase.withURL(isEmpty: true) { url in
            try await migrate(url, by: earlier)
            let system = try await PipelineSystem(databaseURL: url, programs: [earlier])
            try await system.apply(data.projectFile)
            try system.start(instances: 2)
            try await carry(data.files[0], 0, data, system) { file in
                // Tables first, then clients: until then the earlier command line.
                try await run(
                    [
                        "publish", "new-data", "--dataset", data.dataset, "--uri", file.absoluteString, "--id",
                        file.lastPathComponent,
                    ], url, by: earlier)
            }
            try await migrate(url, by: nil)
            system.use([WorkerProcess.folder, earlier])
            let killer = Task { try await system.killAtRandom(seed: 11, most: 40) }
            do {
                for (index, file) in data.files.enumerated().dropFirst() { try await carry(file, index, data, system) }
            } catch {
                killer.cancel()
                throw error
            }
            killer.cancel()
            _ = await killer.result
            #expect(system.kills >= 5, "only \(system.kills) changes: hardly an upgrade")
            return try await finish(system)
        }
        for (question, answer) in calm { #expect(upgraded[question] == answer, "\(question) differs") }
        #expect(calm["runs"]?.count == data.files.count)
        #expect(calm["dead letters"]?.isEmpty == true)
    }

    private func carry(
        _ file: URL, _ index: Int, _ data: SampleData, _ system: PipelineSystem,
        publish: ((URL) async throws -> Void)? = nil
    ) async throws {
        if let publish { try await publish(file) } else { try await system.publish(file, dataset: data.dataset) }
        guard try await system.waitUntilSettled(file, requests: index + 1, within: .seconds(120)) else {
            let open = try await system.openWork()
            let logs = system.logs
            try await system.end()
            throw PipelineFailure(description: "\(file.lastPathComponent) does not end: \(open)\n\(logs)")
        }
    }

    private func finish(_ system: PipelineSystem) async throws -> [String: [String]] {
        let answers = try await system.answers()
        let codes = try await system.end()
        #expect(codes.allSatisfy { $0 == 0 }, "a worker did not end in order: \(codes)")
        return answers
    }

    /// Has the programs of `folder` make the tables that they know.
    private func migrate(_ url: String, by folder: URL?) async throws {
        try await run(["migrate"], url, by: folder)
    }

    private func run(_ arguments: [String], _ url: String, by folder: URL?) async throws {
        let process = try WorkerProcess(
            "naura", arguments: arguments, environment: ["NAURA_DATABASE_URL": url], from: folder)
        #expect(await process.exitCode() == 0, "\(process.log)")
    }
}
