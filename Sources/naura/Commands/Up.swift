import ArgumentParser
import Foundation
import Glibc
import NauraProcess

/// `naura up`: broker, database and workers on this machine.
struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Starts broker, database and workers here, and keeps them running.",
        discussion: """
            State lies under .naura/: ports, password, data, a log for each process. Everything listens on 127.0.0.1. \
            After a crash or a reboot, the next `naura up` carries on: it takes over or ends what an earlier one left, \
            and touches nothing else. Ctrl-C (or `naura down`) ends everything it started.

            The laptop's broker keeps its records in memory; what went through the outbox is sent again after a restart.

            Examples:
              naura up
              naura up --detach --scale train=3
            """)

    @Flag(help: "Return when everything is ready, and leave it running.")
    var detach = false

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Instances of a worker; remembered. One of each where nothing is said.", valueName: "NAME=N")
    )
    var scale: [String] = []

    func run() async throws {
        let folder = StateFolder.home()
        let wanted = try Up.parse(scale)
        if let running = try UpRecord.running(in: folder), running.stage == .up {
            guard detach, wanted.isEmpty else {
                throw CommandError(
                    .alreadyUp, "naura is up already on \(folder.path) (pid \(running.process.pid)); try: naura down")
            }
            Terminal.print("up already (pid \(running.process.pid))")
            return try Up.printAddresses(of: folder)
        }
        if detach { return try await startDetached(folder) }
        let say: @Sendable (String) -> Void = { Terminal.print("\(Terminal.dim(TimeOfDay.now())) \($0)") }
        let laptop = Laptop(folder: folder, madeBy: "up", scale: wanted, say: say)
        say("starting on \(folder.path)")
        _ = try await Session.run(laptop, say: say) { settings in
            say("up")
            Up.printAddresses(settings)
            Terminal.print(Terminal.dim("Ctrl-C ends everything that this command started"))
            // The work is to be there: it ends with the task.
            while await Watch.pause(.seconds(3_600)) {}
        }
    }

    /// `["train=3"]` as instances by worker.
    /// - Throws: `ValidationError` for an unknown worker or a number outside 0…64.
    static func parse(_ scale: [String]) throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for entry in scale {
            let parts = entry.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, WorkerPlan.names.contains(parts[0]), let count = Int(parts[1]), 0...64 ~= count
            else {
                throw ValidationError(
                    "--scale \(entry): expected NAME=N with N from 0 to 64 and NAME one of "
                        + WorkerPlan.names.joined(separator: ", "))
            }
            counts[parts[0]] = count
        }
        return counts
    }

    private func startDetached(_ folder: StateFolder) async throws {
        try folder.create()
        let log = folder.log("up")
        let child = try Launch(
            executable: WorkerPlan.ownProgram, arguments: ["up"] + (scale.isEmpty ? [] : ["--scale"] + scale),
            environment: ProcessInfo.processInfo.environment, log: log, leavesSession: true
        ).start()
        var said = ""
        var ended = false
        let isUp = try await Watch.until(timeout: .seconds(300), every: .milliseconds(50)) {
            Children.collectEnded([child.pid])
            let record = try folder.read(UpRecord.file, as: UpRecord.self)
            if let record, record.process == child {
                if record.message != said, !record.message.isEmpty { Terminal.progress(record.message) }
                said = record.message
                if record.stage == .up { return true }
            }
            ended = !child.isAlive
            return ended
        }
        guard isUp, !ended else {
            let tail = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").suffix(5)
            throw CommandError(.process, "naura did not come up; \(log) ends with:\n" + tail.joined(separator: "\n"))
        }
        Terminal.print("up (pid \(child.pid)); output in \(log)")
        try Up.printAddresses(of: folder)
    }

    private static func printAddresses(of folder: StateFolder) throws {
        guard let state = try LaptopState.read(from: folder) else { return }
        printAddresses(try state.settings(in: folder))
    }

    static func printAddresses(_ settings: Settings) {
        if let api = settings.apiURL { Terminal.print("  the loop, live     \(Terminal.cyan(api))") }
        if let serve = settings.serveURL { Terminal.print("  predictions        \(Terminal.cyan(serve))") }
        if let brokers = settings.brokers { Terminal.print("  broker             \(brokers)") }
        Terminal.print("  the rest           naura env")
    }
}

/// `naura down`: ends what `naura up` started.
struct Down: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ends what `naura up` started here, also what a crashed one left behind.",
        discussion: """
            Workers settle what they have open first. Data, ports and the password stay under .naura/.

            Example:
              naura down
            """)

    func run() async throws {
        guard let folder = StateFolder.find() else {
            throw CommandError(.noState, "no .naura/ from here upwards: nothing of this folder is up")
        }
        if let running = try UpRecord.running(in: folder) {
            Terminal.progress("asking naura up (pid \(running.process.pid)) to end")
            running.process.send(SIGTERM)
            let ended = await Watch.until(timeout: .seconds(60)) { !running.process.isAlive }
            guard ended else {
                throw CommandError(.process, "naura up (pid \(running.process.pid)) has not ended within a minute")
            }
        } else {
            try await Laptop.endLeftovers(in: folder) { Terminal.progress($0) }
        }
        Terminal.print("down")
    }
}

/// `naura env`: the addresses as export lines.
struct Env: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints the addresses as export lines for a shell.",
        discussion: """
            Example:
              eval "$(naura env)"
            """)

    func run() throws {
        for line in try Settings.current().exports {
            let quoted = line.value.replacingOccurrences(of: "'", with: "'\\''")
            Terminal.print("export \(line.name)='\(quoted)'")
        }
    }
}
