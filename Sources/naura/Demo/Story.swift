import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore

/// The demo's story: what its steps share, and how they are told.
///
/// A step counts as seen only when the database, the gateway or the webhook shows it; otherwise it throws, and the story
/// ends there.
struct Story {
    static let model = "churn"
    static let dataset = "customers"
    /// Requests per second while canaries are judged: what two cores answer beside ten workers without strain.
    static let rate = 400.0

    let example: DemoExample
    let settings: Settings
    let database: Database
    let folder: StateFolder
    let sink: WebhookSink
    let hookPort: Int
    let traffic: TrafficGenerator
    private(set) var report = StoryReport(ok: false, seconds: 0, steps: [])

    /// Handed from step to step.
    var firstData = ""
    var calendar: CalendarSlot?

    /// Which minute the calendar names, and when it was applied.
    struct CalendarSlot: Sendable {
        let moment: Date
        let cron: String
    }

    init(
        example: DemoExample, settings: Settings, database: Database, folder: StateFolder, sink: WebhookSink,
        hookPort: Int, traffic: TrafficGenerator
    ) {
        self.example = example
        self.settings = settings
        self.database = database
        self.folder = folder
        self.sink = sink
        self.hookPort = hookPort
        self.traffic = traffic
    }

    /// Plays all steps, and writes the report after each.
    mutating func play() async throws {
        let start = ContinuousClock.now
        let steps: [(String, (inout Story, inout StoryReport.Step) async throws -> Void)] = [
            ("the project is applied, and the first customers are published", { try await $0.apply(&$1) }),
            ("a first model is trained and answers everyone", { try await $0.firstModel(&$1) }),
            ("better data make a better model, rolled out as a canary", { try await $0.canary(&$1) }),
            ("a file whose shape has changed is refused", { try await $0.brokenFile(&$1) }),
            ("other customers come: drift, one training", { try await $0.drift(&$1) }),
            ("a faulty model is taken back by itself", { try await $0.faultyModel(&$1) }),
            ("a merge retrains; another concerns no model", { try await $0.merges(&$1) }),
            ("a calendar slot comes due, once", { try await $0.calendarSlot(&$1) }),
        ]
        for (index, (name, body)) in steps.enumerated() {
            try Task.checkCancellation()
            await play(index + 1, name, body)
            report.seconds = rounded((ContinuousClock.now - start).seconds)
            report.ok = report.steps.count == steps.count && report.steps.allSatisfy(\.ok)
            try folder.write(report, to: StoryReport.file)
            guard report.steps[index].ok else { break }
        }
        summarise(of: steps.count)
    }

    private mutating func play(
        _ number: Int, _ name: String, _ body: (inout Story, inout StoryReport.Step) async throws -> Void
    ) async {
        Terminal.print("\n\(Terminal.bold("\(number)  \(name)"))")
        let start = ContinuousClock.now
        var step = StoryReport.Step(number: number, name: name, ok: false, seconds: 0, events: [])
        do {
            try await body(&self, &step)
            step.ok = true
        } catch {
            step.fault = "\(error)"
        }
        let took = ContinuousClock.now - start
        step.seconds = rounded(took.seconds)
        report.steps.append(step)
        let mark = step.ok ? Terminal.green("seen") : Terminal.red("not seen: \(step.fault ?? "")")
        Terminal.print("   \(mark) after \(took.spoken)")
    }

    private func summarise(of count: Int) {
        let seen = report.steps.filter(\.ok).count
        let took = Duration.seconds(report.seconds).spoken
        let text = "\(seen) of \(count) steps seen in \(took); \(folder.path)/\(StoryReport.file)"
        Terminal.print("\n\(report.ok ? Terminal.green(text) : Terminal.red(text))")
    }

    private func rounded(_ seconds: Double) -> Double { (seconds * 1_000).rounded() / 1_000 }
}

// MARK: - What steps do

extension Story {
    /// Tells a line of the running step.
    func tell(_ worker: String, _ what: String) {
        Terminal.print("   \(worker.padding(toLength: 10, withPad: " ", startingAt: 0))  \(what)")
    }

    /// Throws unless `condition` holds: the step was not seen.
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        guard condition else { throw CommandError(.notSeen, message()) }
    }

    /// Publishes an event as `naura publish` does, and returns its id.
    func publish(_ payload: some EventPayload, in step: inout StoryReport.Step) async throws -> String {
        let id = EventID(Outgoing.newID())
        let event = try EncodedEvent(payload, id: id, source: Outgoing.source, time: Date())
        _ = try await Publisher.publish(event, in: database)
        step.events.append(id.rawValue)
        tell("publish", "\(event.envelope.type)  \(id)")
        return id.rawValue
    }

    func publish(file name: String, in step: inout StoryReport.Step) async throws -> String {
        try await publish(
            NewData(dataset: DatasetID(Story.dataset), uri: Outgoing.uri(example.data(name))), in: &step)
    }

    /// Follows an event to its end, telling each step, and notes what came of it in the report.
    func follow(
        _ id: String, within limit: Duration, in step: inout StoryReport.Step, isTold: Bool = true
    ) async throws -> (outcome: ChainOutcome, watcher: ChainWatcher) {
        var watcher = ChainWatcher(id, database: database)
        var outcome: ChainOutcome?
        _ = try await Watch.until(timeout: limit, every: .milliseconds(100)) {
            outcome = try await watcher.look { if isTold { Terminal.print("   \(Wait.line($0))") } }
            return outcome != nil
        }
        for event in watcher.events.map(\.row.id) where !step.events.contains(event) { step.events.append(event) }
        if let branch = watcher.branches.last {
            step.model = branch.model
            step.run = branch.training?.run ?? step.run
            step.version = branch.training?.version ?? step.version
            step.rollout = branch.rollout?.id ?? step.rollout
        }
        try Task.checkCancellation()
        guard let outcome else {
            throw CommandError(.notSeen, "event \(id) has not come to an end within \(limit.spoken)")
        }
        return (outcome, watcher)
    }

    /// Follows an event that must end as promoted, and returns its one branch.
    func followToPromotion(
        _ id: String, within limit: Duration, in step: inout StoryReport.Step
    ) async throws -> ChainBranch {
        let (outcome, watcher) = try await follow(id, within: limit, in: &step)
        guard case .promoted = outcome else { throw CommandError(.notSeen, "expected a promotion, found \(outcome)") }
        guard let branch = watcher.branches.last, branch.rollout != nil else {
            throw CommandError(.notSeen, "the promotion of \(id) has no branch of its own")
        }
        return branch
    }

    /// The version that is champion now.
    func champion() async throws -> Int? {
        try await Overview.models(in: database).first { $0.name == Story.model }?.champion
    }

    /// Rows of the example's files as requests.
    func rows(_ names: [String]) async throws -> [TrafficRow] {
        guard let source = try await ModelSources.find(Story.model, in: database) else {
            throw CommandError(.notSeen, "the model \(Story.model) is not defined")
        }
        let reader = TrafficRows(views: source.views, contract: source.contract, unitColumn: nil, shifts: [])
        return try names.flatMap { try reader.read(example.data($0)) }
    }

    /// Waits until `condition` holds; `what` names it when it does not come.
    func wait(_ limit: Duration, for what: String, _ condition: () async throws -> Bool) async throws {
        let seen = try await Watch.until(timeout: limit, every: .milliseconds(100), condition)
        try Task.checkCancellation()
        try require(seen, "\(what): not within \(limit.spoken)")
    }
}
