import Foundation
import Testing

@testable import NauraProcess

@Suite("Programs that this process starts")
struct ProcessTests {
    /// Runs a shell with `script`, and returns how it ended and what its log holds.
    private func shell(
        _ script: String, in directory: String? = nil, before text: String? = nil, empties: Bool = false
    ) async throws -> (code: Int32, log: String) {
        let log = FileManager.default.temporaryDirectory.appending(path: "naura-\(UUID().uuidString).log").path
        defer { unlink(log) }
        if let text { try Data(text.utf8).write(to: URL(filePath: log)) }
        let code = try await Launch(
            executable: "sh", arguments: ["-c", script], directory: directory, log: log, emptiesLog: empties
        ).run()
        return (code, try String(contentsOfFile: log, encoding: .utf8))
    }

    @Test("its end is told as its exit code, or as the signal that ended it")
    func ends() async throws {
        #expect(try await shell("exit 7").code == 7)
        #expect(try await shell("kill -TERM $$").code == -SIGTERM)
        #expect(try await shell("exit 0", in: "/no/such/folder").code != 0)
    }

    @Test("its output is appended to its log, or the log is emptied first")
    func logs() async throws {
        #expect(try await shell("echo out; echo err >&2", before: "old\n").log == "old\nout\nerr\n")
        #expect(try await shell("pwd", in: "/usr", before: "old\n", empties: true).log == "/usr\n")
    }

    @Test("it inherits no descriptor of ours and no signal that we ignore, and reads nothing")
    func inheritsNothing() async throws {
        let held = open("/dev/null", O_RDONLY)
        defer { close(held) }
        let ignored = signal(SIGUSR2, SIG_IGN)
        defer { _ = signal(SIGUSR2, ignored) }
        #expect(held > 2 && fcntl(held, F_GETFD) & FD_CLOEXEC == 0)
        #expect(try await shell("[ -e /proc/$$/fd/\(held) ] || echo closed").log == "closed\n")
        #expect(try await shell("kill -USR2 $$").code == -SIGUSR2)
        #expect(try await shell("read -r word || echo nothing").log == "nothing\n")
    }

    @Test("what cannot be started is refused by name")
    func refused() {
        let fault = #expect(throws: ProcessFault.self) {
            try Launch(executable: "/no/such/program", log: "/dev/null").start()
        }
        #expect(fault?.code == .cannotStart && fault?.description.contains("/no/such/program") == true)
    }

    @Test("a session or a group of its own: what ends us by the terminal does not end it")
    func company() async throws {
        for leavesSession in [true, false] {
            let process = try Launch(
                executable: "sleep", arguments: ["60"], log: "/dev/null", leavesSession: leavesSession
            ).start()
            #expect(getpgid(process.pid) == process.pid)
            #expect((getsid(process.pid) == process.pid) == leavesSession)
            #expect(process.send(SIGKILL))
            #expect(await process.hasEnded(within: .seconds(10)))
            #expect(!process.isAlive && !process.send(SIGKILL))
        }
    }

    @Test("a lifeline that is let go takes the whole group with it")
    func lifeline() async throws {
        let lifeline = try Lifeline()
        let pid = try Launch(
            executable: "sh", arguments: ["-c", "sleep 60 & sleep 60"], directory: "/", log: "/dev/null"
        ).spawn(lifeline: lifeline)
        #expect(lifeline.isHeld)
        lifeline.letGo()
        #expect(await Children.end(of: pid) == -SIGKILL)
    }

    @Test("a pid that is used again is not the process on record, and gets no signal")
    func identity() {
        let own = ProcessIdentity.own
        #expect(own.isAlive)
        let former = ProcessIdentity(pid: own.pid, startTicks: own.startTicks - 1, boot: own.boot)
        #expect(!former.isAlive)
        #expect(!former.send(SIGKILL))
        #expect(!ProcessIdentity(pid: own.pid, startTicks: own.startTicks, boot: "another boot").isAlive)
    }

    @Test("chosen ports differ and are free")
    func ports() throws {
        let ports = try FreePort.choose(20)
        #expect(Set(ports).count == 20)
        #expect(ports.allSatisfy { FreePort.isFree($0) })
    }
}
