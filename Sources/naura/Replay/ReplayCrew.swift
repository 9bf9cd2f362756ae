import Foundation
import Glibc
import NauraProcess

/// The workers that tell history in a copy: the ordinary programs, told to replay.
struct ReplayCrew: Sendable {
    /// Those that have stages. Calendars, gateways and pages have nothing to tell.
    static let workers = ["validate", "featurize", "train", "promote", "rollout", "monitor", "notify"]

    private let processes: [(name: String, process: ProcessIdentity)]
    private let folder: URL
    private let logs: [String]

    /// Starts `instances` of each.
    ///
    /// - Throws: ``CommandError`` when a program is not beside this one, or does not start.
    init(target: String, instances: Int) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "naura-replay-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Nothing of the caller's own Naura may reach a copy.
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("NAURA_") }
        environment["NAURA_DATABASE_URL"] = target
        environment["NAURA_REPLAYING"] = "1"
        environment["NAURA_ARTIFACTS"] = folder.appending(path: "artifacts").path
        environment["NAURA_LOG_LEVEL"] = "warning"
        var started: [(name: String, process: ProcessIdentity)] = []
        var logs: [String] = []
        do {
            for name in Self.workers {
                for number in 1...instances {
                    let log = folder.appending(path: "\(name)-\(number).log").path
                    logs.append(log)
                    let launch = Launch(
                        executable: try WorkerPlan.executable(name), environment: environment, log: log)
                    started.append((name, try launch.start()))
                }
            }
        } catch {
            for one in started { one.process.send(SIGKILL) }
            throw error
        }
        processes = started
        self.logs = logs
    }

    /// - Throws: ``CommandError`` when a worker has ended before the replay has.
    func check() throws {
        guard let (pid, status) = Children.collectEnded(processes.map(\.process.pid)).first else { return }
        let name = processes.first { $0.process.pid == pid }?.name ?? "a worker"
        throw CommandError(.process, "\(name) ended with \(status) before history did; its log is in \(folder.path)")
    }

    /// Ends those that still run: each transaction is whole, so none is waited for. Logs stay where something was logged.
    func end() {
        for one in processes { one.process.send(SIGTERM) }
        for one in processes {
            var status: Int32 = 0
            waitpid(one.process.pid, &status, 0)
        }
        let hasLogged = logs.contains { FileManager.default.contents(atPath: $0)?.isEmpty == false }
        guard !hasLogged else { return Terminal.progress("the workers' logs are in \(folder.path)") }
        do {
            try FileManager.default.removeItem(at: folder)
        } catch {
            Terminal.progress("\(folder.path) stays: \(error)")
        }
    }
}
