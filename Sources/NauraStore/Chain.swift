import Foundation
import NauraPostgres

/// What one trigger led to for one model: training, verdict, rollout, and whether gateways serve it.
public struct ChainBranch: Sendable, Equatable {
    /// A training as far as it has come.
    public struct Training: Sendable, Equatable {
        public let request: Int
        /// `frozen`, `trained`, `unchanged` or `failed`.
        public let state: String
        /// Why it ended as `unchanged` or `failed`.
        public let reason: String?
        public let run: String?
        public let version: Int?
        public let codeCommit: String?
        /// How many triggers were folded into it.
        public let causes: Int
        /// Whether only a backfill asked for it: what passes the gate waits for a person.
        public let isBackfill: Bool
        public let frozenAt: Date
        public let settledAt: Date?
    }

    /// A gate's verdict.
    public struct Verdict: Sendable, Equatable {
        public let evaluation: Int
        /// `promoted`, `rejected`, `unchanged` or `cannot-judge`.
        public let verdict: String
        public let reason: String
        public let metric: String
        public let candidate: Double?
        public let champion: Double?
    }

    public let model: String
    /// The event that pulled the trigger.
    public let event: String
    /// When the trigger was put on record.
    public let at: Date
    public let training: Training?
    public let verdict: Verdict?
    public let rollout: ChainRollout?
}

/// A rollout as far as it has come.
public struct ChainRollout: Sendable, Equatable {
    public let id: Int
    public let model: String
    public let version: Int
    public let baseline: Int?
    /// `waiting`, `running`, `held`, `completed`, `rolled-back` or `superseded`.
    public let state: String
    public let step: Int
    public let weight: Double
    public let verdict: String
    public let reason: String
    /// Whether a gateway that lives serves the model's route as it is now.
    public let isServed: Bool
}

/// Follows events from their trigger to the gateways.
public enum Chain {
    /// What the triggers pulled by `events` have led to.
    public static func branches(of events: [String], in database: Database) async throws -> [ChainBranch] {
        let rows = try await database.query(
            """
            select t.model, t.event_id, t.at, r.id as request, r.state as request_state, r.reason as request_reason,
                u.id as run, v.version, r.code_commit, r.is_backfill, r.frozen_at, r.settled_at, c.causes,
                e.id as evaluation, e.verdict, e.reason as verdict_reason, e.metric, e.candidate_score,
                e.champion_score, o.id as rollout
            from naura.trigger t
            left join naura.training_request r on r.id = t.request_id
            left join lateral (select count(*) as causes from naura.trigger where request_id = r.id) c on true
            left join lateral (
                select id from naura.run where request_id = r.id order by id = r.run_id desc, started_at desc limit 1
            ) u on true
            left join naura.model_version v on v.model = t.model and v.run_id = u.id
            left join lateral (
                select * from naura.evaluation where model = t.model and version = v.version order by id desc limit 1
            ) e on true
            left join lateral (
                select id from naura.rollout where model = t.model and version = v.version order by id desc limit 1
            ) o on true
            where t.event_id = any(\(events)) order by t.id limit 1000
            """)
        let rollouts = try await rollouts(
            rows.compactMap { try $0.get("rollout", as: Int?.self) }, causedBy: [], in: database)
        let byID = Dictionary(rollouts.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        return try rows.map { row in
            ChainBranch(
                model: try row.get("model"), event: try row.get("event_id"), at: try row.get("at"),
                training: try training(row),
                verdict: try verdict(row), rollout: try row.get("rollout", as: Int?.self).flatMap { byID[$0] })
        }
    }

    /// The rollouts with one of `ids`, or that one of the events `causes` began.
    public static func rollouts(
        _ ids: [Int] = [], causedBy causes: [String], in database: Database
    ) async throws -> [ChainRollout] {
        guard !ids.isEmpty || !causes.isEmpty else { return [] }
        let rows = try await database.query(
            """
            select o.id, o.model, o.version, o.baseline, o.state, o.step, o.weight, o.verdict, o.reason,
                exists (
                    select 1 from naura.gateway g join naura.route r on r.model = g.model
                    where g.model = o.model and g.epoch >= r.epoch and g.fault is null
                    and g.seen_at > now() - interval '15 seconds'
                ) as is_served
            from naura.rollout o where o.id = any(\(ids)) or o.cause_id = any(\(causes)) order by o.id limit 1000
            """)
        return try rows.map { row in
            ChainRollout(
                id: try row.get("id"), model: try row.get("model"), version: try row.get("version"),
                baseline: try row.get("baseline"), state: try row.get("state"), step: try row.get("step"),
                weight: try row.get("weight"), verdict: try row.get("verdict"), reason: try row.get("reason"),
                isServed: try row.get("is_served"))
        }
    }

    /// How the snapshot that `event` announced stands (`arrived` … `ready`, `duplicate`, `rejected`, `failed`), and its
    /// rows where they are counted; nil while nobody has filed it.
    public static func snapshot(
        of event: String, in database: Database
    ) async throws -> (state: String, number: Int, rows: Int?)? {
        let row = try await database.first(
            "select state, number, rows from naura.snapshot where event_id = \(event) limit 1")
        return try row.map { (try $0.get("state"), try $0.get("number"), try $0.get("rows")) }
    }

    private static func training(_ row: Row) throws -> ChainBranch.Training? {
        guard let request = try row.get("request", as: Int?.self) else { return nil }
        return ChainBranch.Training(
            request: request, state: try row.get("request_state"), reason: try row.get("request_reason"),
            run: try row.get("run"), version: try row.get("version"), codeCommit: try row.get("code_commit"),
            causes: try row.get("causes"), isBackfill: try row.get("is_backfill"), frozenAt: try row.get("frozen_at"),
            settledAt: try row.get("settled_at"))
    }

    private static func verdict(_ row: Row) throws -> ChainBranch.Verdict? {
        guard let evaluation = try row.get("evaluation", as: Int?.self) else { return nil }
        return ChainBranch.Verdict(
            evaluation: evaluation, verdict: try row.get("verdict"), reason: try row.get("verdict_reason"),
            metric: try row.get("metric"), candidate: try row.get("candidate_score"),
            champion: try row.get("champion_score"))
    }
}
