import Foundation
import NauraTestKit
import Testing

@testable import naura

/// A folder with a Naura of its own, driven through the real program.
private struct Project {
    let folder: String

    init(_ name: String) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "naura-\(name)-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    var state: StateFolder { StateFolder(path: folder + "/.naura") }

    /// Runs `naura` here; its output and exit code.
    func naura(_ arguments: String...) async throws -> (code: Int32, output: String) {
        let log = "\(folder)/command-\(UUID().uuidString).log"
        let environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("NAURA_") }
        let shell = "cd '\(folder)' && exec '\(WorkerProcess.folder.appending(path: "naura").path)' \"$@\""
        let process = try Launch(
            executable: "/bin/sh", arguments: ["-c", shell, "naura"] + arguments, environment: environment, log: log
        ).start()
        var code: Int32?
        _ = try await eventually(within: .seconds(120)) {
            code = collectEndedChildren([process.pid])[process.pid]
            return code != nil
        }
        let output = String(decoding: FileManager.default.contents(atPath: log) ?? Data(), as: UTF8.self)
        return (code ?? -1, output)
    }

    func processes() throws -> [WorkerFleet.Record] {
        try state.read(WorkerFleet.file, as: [WorkerFleet.Record].self) ?? []
    }

    func supervisor() throws -> ProcessIdentity? { try UpRecord.running(in: state)?.process }

    func remove() async throws {
        _ = try await naura("down")
        try await Laptop.destroy(state) { _ in }
        try FileManager.default.removeItem(atPath: folder)
    }
}

@Suite("naura up", .serialized)
struct UpTests {
    @Test(
        "a killed worker is started again, a killed supervisor's successor carries on, another project stays as it is")
    func carriesOn() async throws {
        let (one, other) = (try Project("one"), try Project("other"))
        // Two workers are enough for supervision, and leave the machine to the other tests.
        let scale = WorkerPlan.names.filter { !["validate", "notify"].contains($0) }.map { "\($0)=0" }
        for project in [one, other] {
            let up = try await project.naura(
                "up", "--detach", "--scale", scale[0], scale[1], scale[2], scale[3],
                scale[4], scale[5], scale[6], scale[7])
            #expect(up.code == 0, "\(up.output)")
        }
        let others = try other.processes()
        #expect(others.count == 2)

        let victim = try #require(try one.processes().first)
        victim.process.send(SIGKILL)
        let restarted = try await eventually {
            let record = try one.processes().first { $0.name == victim.name }
            return record != nil && record?.process != victim.process && record?.process.isAlive == true
        }
        #expect(restarted, "the killed worker was not started again")

        let former = try #require(try one.supervisor())
        former.send(SIGKILL)
        #expect(try await eventually { !former.isAlive })
        let survivors = try one.processes()
        #expect(survivors.allSatisfy(\.process.isAlive), "workers go on without their supervisor")
        let again = try await one.naura("up", "--detach")
        #expect(again.code == 0, "\(again.output)")
        #expect(survivors.allSatisfy { !$0.process.isAlive }, "the successor ends what was left behind")
        #expect(try one.processes().allSatisfy(\.process.isAlive))

        #expect(try await one.naura("status").code == 0)
        #expect(try await one.naura("down").code == 0)
        #expect(try one.processes().allSatisfy { !$0.process.isAlive })
        #expect(others.allSatisfy(\.process.isAlive), "another project's workers are not ours")
        try await one.remove()
        try await other.remove()
        #expect(others.allSatisfy { !$0.process.isAlive })
    }

    @Test("a command without a state says what to do, and ends with 1")
    func noState() async throws {
        let project = try Project("none")
        let status = try await project.naura("status")
        #expect(status.code == 1)
        #expect(status.output.contains("naura up"))
        try FileManager.default.removeItem(atPath: project.folder)
    }
}
