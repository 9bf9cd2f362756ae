import ArgumentParser
import AsyncHTTPClient
import Foundation
import NauraPostgres
import NauraProcess
import Synchronization

/// `naura demo`: the whole loop on real customers, told as it happens.
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Plays the whole loop on examples/churn, and tells it as it happens.",
        discussion: """
            Starts everything under .naura/ here, anew each time (a .naura/ that is not the demo's own is never \
            touched), and plays eight steps: a first model, a better one by canary, a broken file, drift, a faulty model \
            taken back, merges, and a calendar slot. Afterwards it stays up to look around; with --exit it ends by \
            itself. .naura/demo-report.json tells what was seen.

            Exit codes: 0 every step was seen to happen; 3 one was not.

            Example:
              naura demo --exit
            """)

    @Flag(name: .customLong("exit"), help: "End when the story is told.") var ends = false
    @Option(help: "The example's folder; examples/churn on the way up where nothing is said.") var example: String?

    /// Requests per second while one looks around.
    private static let idleRate = 20.0

    func run() async throws {
        let example = try DemoExample.find(example)
        let folder = StateFolder(path: FileManager.default.currentDirectoryPath + "/.naura")
        let say: @Sendable (String) -> Void = { Terminal.print("   \(Terminal.dim($0))") }
        try await Demo.clear(folder, say: say)
        Terminal.print(Terminal.bold("Naura turns the wheel: \(example.directory)"))
        let laptop = Laptop(folder: folder, madeBy: "demo", scale: ["schedule": 2], say: say)
        let report = Mutex<StoryReport?>(nil)
        let stays = !ends
        _ = try await Session.run(laptop, say: say) { settings in
            Up.printAddresses(settings)
            let told = try await Demo.tell(example, settings, folder: folder, stays: stays) { told in
                report.withLock { $0 = told }
            }
            report.withLock { $0 = told }
        }
        guard let told = report.withLock({ $0 }), told.ok else { throw ExitCode.rejected }
    }

    /// Plays the story beside its traffic and its webhook; where it `stays`, all that goes on afterwards.
    private static func tell(
        _ example: DemoExample, _ settings: Settings, folder: StateFolder, stays: Bool,
        finished: @escaping @Sendable (StoryReport) -> Void
    ) async throws -> StoryReport {
        let hookPort = try FreePort.choose()
        let sink = WebhookSink()
        let traffic = TrafficGenerator(
            gateway: try settings.gateway(), model: Story.model, token: settings.token, rows: [], rate: 0,
            client: HTTPClient.shared)
        return try await Connection.open(settings) { database in
            try await withThrowingTaskGroup(of: StoryReport?.self) { group in
                group.addTask {
                    try await sink.run(port: hookPort)
                    return nil
                }
                group.addTask {
                    await traffic.run()
                    return nil
                }
                group.addTask {
                    var story = Story(
                        example: example, settings: settings, database: database, folder: folder, sink: sink,
                        hookPort: hookPort, traffic: traffic)
                    try await story.play()
                    finished(story.report)
                    guard stays else { return story.report }
                    traffic.use(rate: idleRate)
                    Terminal.print("\nIt stays up to look around:")
                    Up.printAddresses(settings)
                    Terminal.print(Terminal.dim("Ctrl-C ends everything that this command started"))
                    // Looking around ends with the task.
                    while await Watch.pause(.seconds(3_600)) {}
                    return story.report
                }
                defer { group.cancelAll() }
                while let report = try await group.next() {
                    if let report { return report }
                }
                throw CommandError(.notSeen, "the story had no end")
            }
        }
    }

    /// Removes what an earlier demo left here, and refuses anybody else's state.
    private static func clear(_ folder: StateFolder, say: @escaping @Sendable (String) -> Void) async throws {
        guard FileManager.default.fileExists(atPath: folder.path) else { return }
        if let running = try UpRecord.running(in: folder) {
            throw CommandError(
                .alreadyUp, "naura is up on \(folder.path) (pid \(running.process.pid)); try: naura down")
        }
        guard let state = try LaptopState.read(from: folder) else {
            return try await Laptop.endLeftovers(in: folder, say: say)
        }
        guard state.madeBy == "demo" else {
            throw CommandError(
                .brokenState,
                "\(folder.path) holds a project's own state; play the demo in another folder, or move that one away")
        }
        say("removing what the last demo left in \(folder.path)")
        try await Laptop.destroy(folder, say: say)
    }
}
