import Foundation
import NauraKafka
import NauraLedger
import NauraPostgres
import NauraProcess
import NauraTestKit
import Testing

@testable import naura

/// One laptop's Naura, driven through the real program. One `naura up` for all of it: the start takes seconds.
@Suite(
    "naura up", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured && LocalCluster.isInstalled, "needs PostgreSQL"))
struct UpTests {
    @Test(
        """
        A worker that ends is started again and leaves no row behind, a killed supervisor's successor carries on, and \
        status, workers and down say how it stands
        """)
    func carriesOn() async throws {
        try await Program.with { naura in
            let state = StateFolder(path: naura.folder.path + "/.naura")
            do {
                try await play(naura, state)
            } catch {
                try await end(naura, state)
                throw error
            }
            try await end(naura, state)
        }
    }

    private func play(_ naura: Program, _ state: StateFolder) async throws {
        // Two workers are enough for supervision, and leave the machine to the other tests.
        let scale = WorkerPlan.names.filter { !["validate", "notify"].contains($0) }.map { "\($0)=0" }
        let up = try await naura.run(["up", "--detach", "--scale"] + scale)
        #expect(up.code == 0, "\(up.errors)")
        #expect(try await isShown(["notify", "validate"], naura))

        let first = try #require(try processes(state).first)
        first.process.send(SIGTERM)
        #expect(try await eventually { try restarted(first, state) }, "an ended worker was not started again")
        let killed = try #require(try processes(state).last)
        killed.process.send(SIGKILL)
        #expect(try await eventually { try restarted(killed, state) }, "a killed worker was not started again")
        // The one that ended in order is forgotten; the killed one is silent, until it is forgotten as well.
        #expect(try await isShown(["notify", "validate"], naura))
        let status = try await naura("status", "--json")
        #expect(status.code == 0, "\(status.errors)")
        let shown = try status.object()["workers"] as? [[String: Any]] ?? []
        #expect(shown.filter { $0["pid"] as? Int == Int(first.process.pid) }.isEmpty)

        let workers = try await naura("workers", "--json").object()
        let stages = workers["stages"] as? [[String: Any]] ?? []
        #expect(stages.contains { $0["stage"] as? String == "validate" && $0["topic"] as? String == "new-data" })
        #expect((workers["stuck"] as? [Any]) != nil)

        let former = try #require(try UpRecord.running(in: state)?.process)
        former.send(SIGKILL)
        #expect(try await eventually { !former.isAlive })
        let survivors = try processes(state)
        #expect(survivors.allSatisfy { $0.process.isAlive }, "workers go on without their supervisor")
        let again = try await naura("up", "--detach")
        #expect(again.code == 0, "\(again.errors)")
        #expect(survivors.allSatisfy { !$0.process.isAlive }, "the successor ends what was left behind")
        #expect(try processes(state).count == 2)
        #expect(try await naura("env").output.contains("export NAURA_DATABASE_URL='postgresql://"))
        #expect(try await naura("up").code == 1, "a second supervisor is refused")
        #expect(try await naura("down").code == 0)
        #expect(try processes(state).allSatisfy { !$0.process.isAlive })
        #expect(try await naura("status").code == 1)
    }

    /// Whether the live workers come to be `names`.
    private func isShown(_ names: [String], _ naura: Program) async throws -> Bool {
        try await eventually(within: .seconds(30)) {
            let rows = try await naura("status", "--json").object()["workers"] as? [[String: Any]] ?? []
            return rows.filter { $0["state"] as? String == "running" }.map { $0["name"] as? String } == names
        }
    }

    private func restarted(_ former: WorkerFleet.Record, _ state: StateFolder) throws -> Bool {
        let record = try processes(state).first { $0.name == former.name }
        return record != nil && record?.process != former.process && record?.process.isAlive == true
    }

    private func processes(_ state: StateFolder) throws -> [WorkerFleet.Record] {
        try state.read(WorkerFleet.file, as: [WorkerFleet.Record].self) ?? []
    }

    private func end(_ naura: Program, _ state: StateFolder) async throws {
        _ = try await naura("down")
        try await Laptop.destroy(state) { _ in }
    }
}
