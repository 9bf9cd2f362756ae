import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore

/// Follows what one event sets going, and tells each step once.
///
/// A chain crosses folding: several triggers become one training, whose later events bear the first trigger's root. So
/// data is followed by events, and from the trigger on by rows: request, run, evaluation, rollout, gateway.
struct ChainWatcher {
    /// One step as it is told.
    struct Step: Sendable {
        let worker: String
        let what: String
        /// Seconds since the watched event.
        let elapsed: Double
    }

    private let id: String
    private let database: Database
    private var told: Set<String> = []
    private(set) var event: LoggedEvent?
    /// The chain's events so far, the watched one first.
    private(set) var events: [LoggedEvent] = []
    /// Whether rows came of it that can be read.
    var hasRows: Bool { events.contains { $0.row.type == FeaturesReady.type.rawValue } }
    private(set) var branches: [ChainBranch] = []
    private(set) var rollouts: [ChainRollout] = []

    init(_ id: String, database: Database) {
        self.id = id
        self.database = database
    }

    /// Looks once. Tells what is new through `tell`; returns the outcome when the chain has ended.
    mutating func look(_ tell: (Step) -> Void) async throws -> ChainOutcome? {
        if event == nil { event = try await EventLog.event(id, in: database) }
        guard let event else {
            // What could not be read as an event is known by its dead letter alone.
            let failures = try await EventLog.failures(of: [id], in: database)
            return failures.isEmpty ? nil : .rejected(failures.joined(separator: "; "))
        }
        events = ChainWatcher.descendants(
            of: id, in: try await EventLog.chain(of: event.row.rootID, in: database))
        for logged in events { say(logged, tell) }
        let ids = events.map(\.row.id)
        branches = try await Chain.branches(of: ids, in: database)
        let known = Set(branches.compactMap { $0.rollout?.id })
        rollouts = try await Chain.rollouts(causedBy: ids, in: database).filter { !known.contains($0.id) }
        for branch in branches { say(branch, tell) }
        for rollout in rollouts { say(rollout, tell) }
        try await sayJobs(ids, tell)
        return try await outcome(ids)
    }

    /// The chain's outcome; nil while any part of it goes on.
    private func outcome(_ ids: [String]) async throws -> ChainOutcome? {
        let failures = try await EventLog.failures(of: ids, in: database)
        guard failures.isEmpty else { return .rejected(failures.joined(separator: "; ")) }
        let jobs = try await EventLog.jobs(causedBy: ids, in: database)
        let failed = jobs.filter {
            ["failed", "cancelled"].contains($0.state) && ChainJobs.carriesTheChain($0.kind)
        }
        guard failed.isEmpty else {
            return .rejected(failed.map { "\($0.kind): \($0.failure ?? "failed")" }.joined(separator: "; "))
        }
        let open = jobs.filter { ["waiting", "running"].contains($0.state) && ChainJobs.awaited.contains($0.kind) }
        guard open.isEmpty else { return nil }
        var outcomes: [ChainOutcome] = []
        for logged in events {
            switch try await outcome(of: logged) {
            case .goesOn: return nil
            case .continues: continue
            case .ends(let outcome): outcomes.append(outcome)
            }
        }
        return outcomes.isEmpty ? nil : .combined(outcomes)
    }

    /// What one event of the chain came to.
    private enum Part {
        /// It is still being handled.
        case goesOn
        /// Later events of the chain speak for it.
        case continues
        case ends(ChainOutcome)
    }

    private func outcome(of logged: LoggedEvent) async throws -> Part {
        let row = logged.row
        switch row.type {
        case "new-data":
            // Data of an unknown dataset is rejected without a snapshot.
            if events.contains(where: { $0.row.causeID == row.id }) { return .continues }
            let snapshot = try await Chain.snapshot(of: row.id, in: database)
            return snapshot?.state == "duplicate"
                ? .ends(.nothingToDo("\(row.subject): the same bytes were published before")) : .goesOn
        case "data-validated":
            return events.contains { $0.row.causeID == row.id } ? .continues : .goesOn
        case "data-rejected":
            // A redriven job has let them in after all.
            let isLetIn = events.contains {
                ["data-validated", "features-ready"].contains($0.row.type) && $0.row.subject == row.subject
                    && $0.row.time > row.time
            }
            guard !isLetIn else { return .continues }
            return .ends(.rejected("\(row.subject): data rejected: \(EventSummary.violations(of: logged))"))
        case "features-ready", "code-merged", "retrain-due", "drift-alert":
            return try await triggered(by: row)
        case "model-trained":
            guard row.id == id else { return .continues }
            return events.contains { $0.row.causeID == row.id } ? .continues : .goesOn
        case "model-promoted":
            guard let rollout = rollouts.last else { return branches.isEmpty && row.id == id ? .goesOn : .continues }
            return ChainOutcome.of(rollout).map(Part.ends) ?? .goesOn
        case "model-rejected":
            return branches.isEmpty ? .ends(.rejected(EventSummary.text(of: logged))) : .continues
        case "ground-truth", "predictions":
            let handled = try await EventLog.stages(thatHandled: row, in: database)
            return handled.isEmpty ? .goesOn : .ends(.nothingToDo("\(row.subject): recorded"))
        default: return .continues
        }
    }

    /// What a trigger came to: one branch a model, or none when it concerns no model.
    private func triggered(by row: EventRow) async throws -> Part {
        let own = branches.filter { $0.event == row.id }
        guard own.isEmpty else {
            let outcomes = own.map(ChainOutcome.of)
            guard !outcomes.contains(nil) else { return .goesOn }
            return .ends(.combined(outcomes.compactMap { $0 }))
        }
        let handled = try await EventLog.stages(thatHandled: row, in: database)
        guard !handled.isDisjoint(with: ChainJobs.triggerStages) else { return .goesOn }
        // The branches were read before the inbox: a trigger that came in between shows at the next look.
        guard try await Chain.branches(of: [row.id], in: database).isEmpty else { return .goesOn }
        return .ends(.nothingToDo("\(row.type) \(row.subject): concerns no model"))
    }

    /// The event `id` and all that came of it.
    static func descendants(of id: String, in chain: [LoggedEvent]) -> [LoggedEvent] {
        guard let first = chain.first(where: { $0.row.id == id }) else { return [] }
        if first.row.rootID == id { return [first] + chain.filter { $0.row.id != id } }
        var family: Set<String> = [id]
        var members = [first]
        // Causes stand before their effects in time, but clocks of two machines may differ: repeat until nothing joins.
        while true {
            let joining = chain.filter { logged in
                !family.contains(logged.row.id) && logged.row.causeID.map(family.contains) ?? false
            }
            guard !joining.isEmpty else { return members }
            members += joining
            family.formUnion(joining.map(\.row.id))
        }
    }
}

// MARK: - Telling

extension ChainWatcher {
    private mutating func tell(
        once key: String, _ worker: String, _ what: @autoclosure () -> String, at date: Date = Date(),
        _ tell: (Step) -> Void
    ) {
        guard told.insert(key).inserted, let event else { return }
        tell(Step(worker: worker, what: what(), elapsed: max(0, date.timeIntervalSince(event.row.time))))
    }

    private mutating func say(_ logged: LoggedEvent, _ tell: (Step) -> Void) {
        // From the trigger on, rows tell the story in more detail, also where it was folded into another's.
        let untold: Set<String> = [
            "model-trained", "model-promoted", "model-rejected", "rollout-changed", "dead-letter",
        ]
        guard !untold.contains(logged.row.type) || logged.row.id == id else { return }
        self.tell(
            once: "event \(logged.row.id)", EventSummary.worker(of: logged.row),
            "\(logged.row.type)  \(EventSummary.text(of: logged))", at: logged.row.time, tell)
    }

    private mutating func say(_ branch: ChainBranch, _ tell: (Step) -> Void) {
        let key = "\(branch.model) \(branch.event)"
        self.tell(once: "trigger \(key)", "train", "trigger for \(branch.model) is on record", at: branch.at, tell)
        guard let training = branch.training else { return }
        let causes = training.causes == 1 ? "one trigger" : "\(training.causes) triggers"
        self.tell(
            once: "request \(key)", "train", "training \(training.request) of \(branch.model) for \(causes)",
            at: training.frozenAt, tell)
        if training.state == "unchanged" {
            self.tell(once: "unchanged \(key)", "train", "unchanged: \(training.reason ?? "")", tell)
        }
        if let version = training.version {
            self.tell(once: "version \(key)", "train", "trained \(branch.model) version \(version)", tell)
        }
        if let verdict = branch.verdict {
            self.tell(
                once: "verdict \(verdict.evaluation)", "promote", "\(verdict.verdict): \(verdict.reason)", tell)
        }
        if let rollout = branch.rollout { say(rollout, tell) }
    }

    private mutating func say(_ rollout: ChainRollout, _ tell: (Step) -> Void) {
        let percent = "\((rollout.weight * 1_000).rounded() / 10) %"
        let name = "\(rollout.model) version \(rollout.version)"
        let what =
            switch rollout.state {
            case "waiting": "\(name) waits for another rollout to end"
            case "running": "\(name) answers \(percent) of units"
            case "held": "\(name) is held at \(percent): \(rollout.reason)"
            case "completed": "\(name) answers everyone"
            case "rolled-back": "\(name) is taken back: \(rollout.reason)"
            default: "\(name): \(rollout.state)"
            }
        self.tell(once: "rollout \(rollout.id) \(rollout.state) \(percent)", "rollout", what, tell)
        if rollout.state == "completed", rollout.isServed {
            self.tell(once: "served \(rollout.id)", "serve", "the gateway serves the new route", tell)
        }
    }

    private mutating func sayJobs(_ ids: [String], _ tell: (Step) -> Void) async throws {
        for job in try await EventLog.jobs(causedBy: ids, in: database) where job.state == "running" {
            guard let progress = job.progress, !progress.isEmpty else { continue }
            // Only the first word of progress is told: rounds and rows would be hundreds of lines.
            let stage = progress.prefix { !$0.isNumber }
            self.tell(once: "job \(job.id) \(stage)", job.kind, progress, tell)
        }
    }
}
