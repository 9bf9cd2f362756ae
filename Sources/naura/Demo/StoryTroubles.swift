import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraModels
import NauraStore

// Steps 5 to 8: drift, a faulty model, merges, and the calendar.

extension Story {
    /// Step 5.
    mutating func drift(_ step: inout StoryReport.Step) async throws {
        let before = try await firingAlerts()
        let trained = try await Overview.runs(in: database).count
        tell("traffic", "other customers come: fibre without a fixed term")
        traffic.use(rows: try await rows(["march.csv"]))
        var alert: EventRow?
        try await wait(.seconds(60), for: "a drift alert") {
            alert = try await firingAlerts().first { row in !before.contains { $0.id == row.id } }
            return alert != nil
        }
        guard let alert else { preconditionFailure("waited for") }
        // The same trouble reported again, as a second monitor would, and the customers' own rows with what became of
        // them: three causes within the quiet period.
        let logged = try await EventLog.event(alert.id, in: database)
        tell("monitor", "drift-alert  \(logged.map(EventSummary.text) ?? alert.subject)")
        step.events.append(alert.id)
        let data = try await publish(file: "march.csv", in: &step)
        if let logged { try await repeatAlert(logged, in: &step) }
        traffic.use(rows: try await rows(["january.csv", "february.csv", "march.csv"]))
        let branch = try await followToPromotion(data, within: .seconds(100), in: &step)
        let (_, alerted) = try await follow(alert.id, within: .seconds(15), in: &step, isTold: false)
        let training = branch.training
        try require(
            alerted.branches.last?.training?.request == training?.request,
            "alert and data were not folded into one training")
        try require(training?.causes == 3, "the training answers \(training?.causes ?? 0) causes, expected 3")
        let runs = try await Overview.runs(in: database).count
        try require(runs == trained + 1, "\(runs - trained) trainings, expected one")
        let alerts = try await firingAlerts().filter { row in
            row.source != Outgoing.source && !before.contains { $0.id == row.id }
        }
        try require(alerts.count == 1, "the monitor fired \(alerts.count) alerts, expected one")
        tell("train", "one training for three causes: \(runs == trained + 1 ? "seen" : "")")
    }

    /// Step 6.
    mutating func faultyModel(_ step: inout StoryReport.Step) async throws {
        try await setCalendar()
        guard let good = try await champion() else { throw CommandError(.notSeen, "there is no champion") }
        let before = traffic.meter.whole
        let faulty = try await FaultyModel.register(
            from: good, model: Story.model, traffic: try await rows(["january.csv", "february.csv", "march.csv"]),
            settings: settings, database: database)
        tell("registry", "version \(faulty.version): answers no number where \(faulty.where)")
        let id = try await Promotion.request(
            model: Story.model, version: faulty.version, reason: "the demo wants to see it fail", in: database)
        tell("promote", "version \(faulty.version) by hand  \(id)")
        step.model = Story.model
        step.version = faulty.version
        let (outcome, watcher) = try await follow(id.rawValue, within: .seconds(60), in: &step)
        step.rollout = watcher.rollouts.last?.id
        guard case .rejected = outcome, let rollout = watcher.rollouts.last, rollout.state == "rolled-back" else {
            throw CommandError(.notSeen, "expected a rollback, found \(outcome)")
        }
        try await requireQuietEnd(of: faulty.version, since: before)
        try await require(try champion() == good, "version \(good) is no longer the champion")
    }

    /// Step 7.
    mutating func merges(_ step: inout StoryReport.Step) async throws {
        try await letSlotPass()
        let trained = try await Overview.runs(in: database).count
        let commit = String((Outgoing.newID() + Outgoing.newID()).prefix(40))
        let id = try await publish(
            CodeMerged(
                repository: "acme/churn", commit: commit, ref: "refs/heads/main", paths: ["churn/features.sql"],
                author: Outgoing.actor, mergedAt: Date()), in: &step)
        let (_, watcher) = try await follow(id, within: .seconds(60), in: &step)
        guard let training = watcher.branches.last?.training else {
            throw CommandError(.notSeen, "the merge started no training")
        }
        try require(training.codeCommit == commit, "the training names commit \(training.codeCommit ?? "none")")
        let runs = try await Overview.runs(in: database)
        let run = runs.last { $0.id == training.run }
        try require(runs.count == trained + 1, "\(runs.count - trained) trainings, expected one")
        try require(run?.codeCommit == commit, "the run names commit \(run?.codeCommit ?? "none")")
        tell("train", "run \(training.run ?? "") names commit \(commit.prefix(12))")
        let other = try await publish(
            CodeMerged(
                repository: "acme/churn", commit: commit, ref: "refs/heads/main", paths: ["docs/readme.md"]), in: &step)
        let outcome = try await follow(other, within: .seconds(30), in: &step).outcome
        guard case .nothingToDo(let why) = outcome else {
            throw CommandError(.notSeen, "a merge that concerns nobody came to \(outcome)")
        }
        tell("train", "nothing to do: \(why)")
        try await require(try Overview.runs(in: database).count == trained + 1, "the second merge was trained")
    }

    /// Step 8.
    mutating func calendarSlot(_ step: inout StoryReport.Step) async throws {
        guard let calendar else { throw CommandError(.notSeen, "no calendar was applied") }
        tell("schedule", "two schedulers; the slot is \(CodableTimes.string(from: calendar.moment).prefix(16))Z")
        let limit = Duration.seconds(max(0, calendar.moment.timeIntervalSinceNow) + 20)
        try await wait(limit, for: "the slot's retrain-due") { try await !slotEvents(calendar).isEmpty }
        guard let event = try await slotEvents(calendar).first else { preconditionFailure("waited for") }
        let (outcome, watcher) = try await follow(event, within: .seconds(60), in: &step)
        guard case .nothingToDo(let why) = outcome else {
            throw CommandError(.notSeen, "expected unchanged, found \(outcome)")
        }
        let isUnchanged =
            watcher.branches.last?.training?.state == "unchanged"
            || watcher.branches.last?.verdict?.verdict == "unchanged"
        try require(isUnchanged, "it ended as: \(why)")
        let events = try await slotEvents(calendar)
        try require(events.count == 1, "\(events.count) retrain-due events for one slot")
        let schedulers = try await LedgerOverview.workers(in: database).filter {
            $0.name == "schedule" && $0.state == "running"
        }
        try require(schedulers.count == 2, "\(schedulers.count) schedulers run, expected two")
    }
}

// MARK: - Parts of the steps

extension Story {
    private func firingAlerts() async throws -> [EventRow] {
        var firing: [EventRow] = []
        for row in try await LedgerOverview.events(type: DriftAlert.type.rawValue, in: database) {
            guard let logged = try await EventLog.event(row.id, in: database) else { continue }
            let payload = try EventCatalogue.payload(of: DriftAlert.type, body: logged.body)
            if let alert = payload as? DriftAlert, alert.state == .firing { firing.append(row) }
        }
        return firing
    }

    private func repeatAlert(_ logged: LoggedEvent, in step: inout StoryReport.Step) async throws {
        let payload = try EventCatalogue.payload(of: DriftAlert.type, body: logged.body)
        guard let alert = payload as? DriftAlert else { return }
        _ = try await publish(alert, in: &step)
    }

    /// Waits until no visit reaches the canary any more, and throws when the champion failed anybody meanwhile.
    private func requireQuietEnd(of version: Int, since before: TrafficMeter.Reading) async throws {
        let arm = "canary/\(version)"
        // Requests that were under way when the weight became 0 still end; half a second later none may come.
        _ = await Watch.pause(.milliseconds(500))
        let settled = traffic.meter.whole
        _ = await Watch.pause(.seconds(1))
        let after = traffic.meter.whole
        let failed = after.failed - before.failed
        let byCanary = (after.failedByArm[arm] ?? 0) - (before.failedByArm[arm] ?? 0)
        tell(
            "traffic",
            "\(arm) answered \(after.byArm[arm] ?? 0) visits, \(byCanary) without a number; all others were answered")
        try require(after.byArm[arm] ?? 0 > 0, "the faulty version met no visitor")
        try require(after.byArm[arm] == settled.byArm[arm], "the canary still answered after it was taken back")
        try require(
            failed == byCanary, "\(failed - byCanary) visits failed beside the canary's: \(after.lastFailure ?? "")")
        try require(after.answered > settled.answered, "the champion answers nobody")
    }

    /// Applies the project with a calendar line for the next minute that is some seconds away.
    private mutating func setCalendar() async throws {
        let seconds = (Date().timeIntervalSince1970 + 3) / 60
        let moment = Date(timeIntervalSince1970: (seconds.rounded(.down) + 1) * 60)
        let parts = Calendar.utc.dateComponents([.minute, .hour], from: moment)
        let cron = "\(parts.minute ?? 0) \(parts.hour ?? 0) * * *"
        let project = try example.project(hookPort: hookPort, cron: cron)
        let applied = try await ProjectApplication.apply(project, in: database)
        tell("apply", "\(ProjectApplication.text(project, applied)); calendar `\(cron)` UTC")
        calendar = CalendarSlot(moment: moment, cron: cron)
    }

    /// A slot that rings in the middle of the merges' training would be folded into it: when it is near, it is let pass
    /// first.
    private func letSlotPass() async throws {
        guard let calendar else { return }
        let distance = calendar.moment.timeIntervalSinceNow
        guard distance < 14 else { return }
        try await wait(.seconds(max(0, distance) + 20), for: "the slot's retrain-due") {
            try await !slotEvents(calendar).isEmpty
        }
        guard let event = try await slotEvents(calendar).first else { return }
        var aside = StoryReport.Step(number: 0, name: "", ok: false, seconds: 0, events: [])
        _ = try await follow(event, within: .seconds(60), in: &aside, isTold: false)
    }

    /// The retrain-due events of the calendar's slot.
    private func slotEvents(_ calendar: CalendarSlot) async throws -> [String] {
        var events: [String] = []
        for row in try await LedgerOverview.events(type: RetrainDue.type.rawValue, in: database) {
            guard let logged = try await EventLog.event(row.id, in: database) else { continue }
            let payload = try EventCatalogue.payload(of: RetrainDue.type, body: logged.body)
            if let due = payload as? RetrainDue, due.slot == calendar.moment { events.append(row.id) }
        }
        return events
    }
}

extension Calendar {
    /// The Gregorian calendar in UTC.
    static var utc: Calendar {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(secondsFromGMT: 0) ?? .gmt
        return calendar
    }
}
