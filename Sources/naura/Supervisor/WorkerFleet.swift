import Foundation
import Glibc
import NauraProcess

/// The workers of one state folder: starts each, starts again what died, ends them all.
///
/// Every start and end is written to `processes.json` at once, so that a later `naura up` knows what is its own.
actor WorkerFleet {
    /// One worker process on record.
    struct Record: Codable, Sendable {
        let name: String
        let program: String
        let process: ProcessIdentity
    }

    static let file = "processes.json"

    private let folder: StateFolder
    private let plan: WorkerPlan
    private let say: @Sendable (String) -> Void
    private let clock = ContinuousClock()
    private var running: [String: (process: ProcessIdentity, since: ContinuousClock.Instant)] = [:]
    private var backOffs: [String: BackOff] = [:]
    private var dueAt: [String: ContinuousClock.Instant] = [:]
    private var seenReady: Set<String> = []

    init(plan: WorkerPlan, folder: StateFolder, say: @escaping @Sendable (String) -> Void) {
        self.plan = plan
        self.folder = folder
        self.say = say
    }

    /// Collects the dead and starts whatever should run and is due. Cheap; called at each tick.
    func reconcile() throws {
        let now = clock.now
        let statuses = Children.collectEnded(running.values.map(\.process.pid))
        var changed = false
        for instance in plan.instances {
            if let (process, since) = running[instance.name] {
                guard !process.isAlive else { continue }
                running[instance.name] = nil
                changed = true
                let wait = backOffs[instance.name, default: BackOff()].recordDeath(after: now - since)
                dueAt[instance.name] = now + wait
                let status = statuses[process.pid].map(describe) ?? "ended"
                say("\(instance.name) (pid \(process.pid)) \(status); starts again in \(wait.spoken)")
            }
            if dueAt[instance.name].map({ $0 <= now }) ?? true {
                running[instance.name] = (try instance.launch.start(), now)
                changed = true
            }
        }
        if changed { try record() }
    }

    /// The instances whose process runs, with its pid.
    var pids: [String: Int32] { running.mapValues(\.process.pid) }

    /// A worker that died five times in a row shortly after its start: waiting for it is in vain.
    var failing: String? { backOffs.filter { $0.value.deaths >= 5 }.keys.min() }

    /// The instances that have not yet answered that they are ready.
    func unready() async -> [String] {
        for instance in plan.instances where !seenReady.contains(instance.name) {
            if await Health.isReady(port: instance.healthPort) { seenReady.insert(instance.name) }
        }
        return plan.instances.map(\.name).filter { !seenReady.contains($0) }
    }

    /// Ends all at once, whatever they have open.
    func kill() { running.values.forEach { $0.process.send(SIGKILL) } }

    /// Asks all to end, and ends after `grace` those that did not.
    func end(grace: Duration) async throws {
        let processes = running.mapValues(\.process)
        try await WorkerFleet.end(processes, grace: grace, say: say)
        running = [:]
        try record()
    }

    /// Ends what an earlier, unclean end of `naura up` left behind: the processes on record, and nothing else.
    ///
    /// - Returns: how many were found alive.
    @discardableResult
    static func endLeftovers(
        in folder: StateFolder, grace: Duration, say: @escaping @Sendable (String) -> Void
    ) async throws -> Int {
        let records = try folder.read(file, as: [Record].self) ?? []
        let alive = records.filter { $0.process.isAlive }
        if !alive.isEmpty {
            say("ending \(alive.count) workers that an earlier run left behind")
            let processes = Dictionary(alive.map { ($0.name, $0.process) }, uniquingKeysWith: { first, _ in first })
            try await end(processes, grace: grace, say: say)
        }
        try folder.remove(file)
        return alive.count
    }

    private static func end(
        _ processes: [String: ProcessIdentity], grace: Duration, say: @Sendable (String) -> Void
    ) async throws {
        for process in processes.values { process.send(SIGTERM) }
        let ended = await Watch.until(timeout: grace) {
            Children.collectEnded(processes.values.map(\.pid))
            return processes.values.allSatisfy { !$0.isAlive }
        }
        guard !ended else { return }
        for (name, process) in processes.sorted(by: { $0.key < $1.key }) where process.isAlive {
            say("\(name) (pid \(process.pid)) did not end within \(grace.spoken); it is killed")
            process.send(SIGKILL)
        }
        _ = await Watch.until(timeout: .seconds(5)) {
            Children.collectEnded(processes.values.map(\.pid))
            return processes.values.allSatisfy { !$0.isAlive }
        }
    }

    private func record() throws {
        let records = plan.instances.compactMap { instance in
            running[instance.name].map {
                Record(name: instance.name, program: instance.launch.executable, process: $0.process)
            }
        }
        try folder.write(records, to: WorkerFleet.file)
    }

    private func describe(_ status: Int32) -> String {
        status < 0 ? "was ended by signal \(-status)" : "ended with \(status)"
    }
}
