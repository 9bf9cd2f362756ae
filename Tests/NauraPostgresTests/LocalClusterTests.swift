import Foundation
import Logging
import NauraPostgres
import NauraTestKit
import Testing

@Suite(.enabled(if: LocalCluster.isInstalled, "needs PostgreSQL's programs"))
struct LocalClusterTests {
    private func withDirectory(_ body: (URL) async throws -> Void) async throws {
        // A closed parent, as a home is: root's server user cannot walk in, so the data must lie elsewhere.
        let closed = FileManager.default.temporaryDirectory.appending(path: "naura-closed-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: closed, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let directory = closed.appending(path: "a project/postgres")
        do {
            try await body(directory)
        } catch {
            try await LocalCluster(directory: directory).destroy()
            try FileManager.default.removeItem(at: closed)
            throw error
        }
        try await LocalCluster(directory: directory).destroy()
        try FileManager.default.removeItem(at: closed)
    }

    @Test("a cluster is made once, found again, survives the killing of its server, and stops")
    func lifecycle() async throws {
        try await withDirectory { directory in
            let cluster = LocalCluster(directory: directory)
            let url = try await cluster.ensureRunning()
            #expect(url.host() == "127.0.0.1")
            let database = Database(url: url.absoluteString, applicationName: "test", logger: Logger(label: "t"))
            try await database.update("create table item (id int8)")
            try await database.update("insert into item values (7)")

            let pid = try #require(cluster.processID)
            #expect(try await LocalCluster(directory: directory).ensureRunning() == url)
            #expect(cluster.processID == pid)

            kill(pid, SIGKILL)
            #expect(try await cluster.ensureRunning() == url)
            #expect(cluster.processID != pid)
            try await database.waitUntilAvailable(timeout: .seconds(10))
            let row = try #require(try await database.first("select id from item limit 1"))
            #expect(try row.get("id") == 7)
            await database.close()

            try await cluster.stop()
            #expect(cluster.processID == nil)
            try await cluster.stop()

            // After a restart of the machine the old lock file may name a stranger.
            let data = directory.appending(path: "data").resolvingSymlinksInPath()
            let stranger = Process()
            stranger.executableURL = URL(filePath: "/bin/sleep")
            stranger.arguments = ["600"]
            try stranger.run()
            // It has our thread's blocked signals, SIGTERM among them, and our output: left alive it keeps the run waiting.
            defer { kill(stranger.processIdentifier, SIGKILL) }
            let lockFile = data.appending(path: "postmaster.pid")
            try Data("\(stranger.processIdentifier)\n\(data.path)\n0\n5432\n".utf8).write(to: lockFile)
            #expect(try await cluster.ensureRunning() == url)
            #expect(stranger.isRunning)
            try await cluster.stop()
            #expect(stranger.isRunning)
        }
    }
}
