import Foundation
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore

/// Everything that the page shows, as the tables had it within a few milliseconds.
struct LoopSnapshot: Sendable {
    var time: Date
    var projects: [String] = []
    var status: StatusReport?
    var latest: [EventRow] = []
    var events: [EventRow] = []
    var jobs: [JobRow] = []
    var deadLetters: [DeadLetterSummary] = []
    var models: [ModelRow] = []
    var evaluations: [EvaluationRow] = []
    var serving: [ServingRow] = []
    var rollouts: [RolloutRow] = []
    var evidence: [EvidenceRow] = []
    var decisions: [DecisionRow] = []
    var rules: [Int: RolloutPolicy] = [:]
    var runs: [RunRow] = []
    var curves: [MetricCurve] = []
    var drift: [DriftRow] = []
    var alerts: [AlertRow] = []

    init(time: Date) { self.time = time }

    /// Reads it: some eighteen short queries over a few sessions, 10 ms in all on a laptop.
    static func read(from database: Database) async throws -> LoopSnapshot {
        var snapshot = LoopSnapshot(time: .now)
        async let status = LedgerOverview.status(in: database)
        async let latest = LedgerOverview.latestOfEachType(in: database)
        async let events = LedgerOverview.events(limit: 40, in: database)
        async let jobs = LedgerOverview.jobs(limit: 50, in: database)
        async let models = Overview.models(versionsMax: 30, limit: 20, in: database)
        snapshot.projects = try await Overview.projects(in: database)
        snapshot.deadLetters = try await DeadLetters.list(state: .open, limit: 6, in: database)
        snapshot.evaluations = try await Overview.evaluations(limit: 40, in: database)
        snapshot.serving = try await Overview.serving(in: database)
        snapshot.rollouts = try await Overview.rollouts(limit: 40, in: database)
        let shown = RolloutCards.chosen(from: snapshot.rollouts).map(\.id)
        snapshot.evidence = try await Overview.evidence(of: shown, in: database)
        snapshot.decisions = try await Overview.decisions(of: shown, in: database)
        snapshot.rules = try await Overview.rules(of: shown, in: database)
        snapshot.runs = try await Overview.runs(limit: 8, in: database)
        snapshot.curves = try await Overview.curves(of: snapshot.runs.map(\.id), pointsMax: 60, in: database)
        snapshot.drift = try await Overview.drift(limit: 200, in: database)
        snapshot.alerts = try await Overview.alerts(limit: 8, in: database)
        snapshot.status = try await status
        snapshot.latest = try await latest
        snapshot.events = try await events
        snapshot.jobs = try await jobs
        snapshot.models = try await models
        return snapshot
    }
}
