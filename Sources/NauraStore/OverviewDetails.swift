// The finer print of the lists: what the gate saw, what a rollout stands on, what is served.

import Foundation
import NauraPostgres
import NauraRules

/// What the gate saw of one version.
public struct EvaluationRow: Codable, Sendable, Equatable {
    public let model: String
    public let version: Int
    public let champion: Int?
    /// `promoted`, `rejected`, `unchanged` or `cannot-judge`.
    public let verdict: String
    public let reason: String
    public let metric: String
    public let candidateScore: Double?
    public let championScore: Double?
    /// Candidate − champion, with the bounds of its interval.
    public let difference: Double?
    public let lower: Double?
    public let upper: Double?
    /// How much worse a candidate may be, from the model's definition.
    public let margin: Double?
    public let holdoutRows: Int
    public let holdoutEntities: Int
    public let evaluatedAt: Date

    private enum CodingKeys: String, CodingKey {
        case model, version, champion, verdict, reason, metric, difference, lower, upper, margin
        case candidateScore = "candidate_score"
        case championScore = "champion_score"
        case holdoutRows = "holdout_rows"
        case holdoutEntities = "holdout_entities"
        case evaluatedAt = "evaluated_at"
    }
}

/// What one metric of a rollout stands on, at its latest step.
public struct EvidenceRow: Codable, Sendable, Equatable {
    public let rollout: Int
    /// `error` or `slow`.
    public let metric: String
    public let step: Int
    public let canaryUnits: Int
    public let canaryBad: Int
    public let baselineUnits: Int
    public let baselineBad: Int
    /// One log e-value an alternative, running over all steps.
    public let logE: [Double]

    private enum CodingKeys: String, CodingKey {
        case rollout, metric, step
        case canaryUnits = "canary_units"
        case canaryBad = "canary_bad"
        case baselineUnits = "baseline_units"
        case baselineBad = "baseline_bad"
        case logE = "log_e"
    }
}

/// A decision of a rollout.
public struct DecisionRow: Codable, Sendable, Equatable {
    public let rollout: Int
    public let number: Int
    public let verdict: String
    public let weight: Double
    public let decidedAt: Date

    private enum CodingKeys: String, CodingKey {
        case rollout, number, verdict, weight
        case decidedAt = "decided_at"
    }
}

/// The rules of a rollout as far as its row states them; later versions may state more.
private struct StatedRules: Decodable {
    let steps: [Double]?
    let harmAlpha: Double?
    let advanceBeta: Double?
    let errorMargin: Double?
    let slowMargin: Double?
    let errorRatio: Double?
    let slowRatio: Double?
    let errorWeight: Double?
    let slowWeight: Double?

    var policy: RolloutPolicy {
        let usual = RolloutPolicy()
        return RolloutPolicy(
            steps: steps ?? usual.steps, errorMargin: errorMargin ?? usual.errorMargin,
            slowMargin: slowMargin ?? usual.slowMargin, errorRatio: errorRatio ?? usual.errorRatio,
            slowRatio: slowRatio ?? usual.slowRatio, harmAlpha: harmAlpha ?? usual.harmAlpha,
            advanceBeta: advanceBeta ?? usual.advanceBeta, errorWeight: errorWeight ?? usual.errorWeight,
            slowWeight: slowWeight ?? usual.slowWeight)
    }
}

/// What a model's traffic gets.
public struct ServingRow: Codable, Sendable, Equatable {
    public let model: String
    public let champion: Int
    public let canary: Int?
    public let weight: Double
    public let epoch: Int
    /// Gateways that have spoken within half a minute.
    public let gateways: Int
    /// Answers recorded within the last ten seconds, counted up to 100,000.
    public let recentPredictions: Int
    public let lastPredictionAt: Date?

    private enum CodingKeys: String, CodingKey {
        case model, champion, canary, weight, epoch, gateways
        case recentPredictions = "recent_predictions"
        case lastPredictionAt = "last_prediction_at"
    }
}

extension Overview {
    /// The latest evaluation of each of the last `limit` evaluated versions, oldest first.
    public static func evaluations(limit: Int = 50, in database: Database) async throws -> [EvaluationRow] {
        let rows = try await database.query(
            """
            select e.model, e.version, e.champion, e.verdict, e.reason, e.metric, e.candidate_score,
                e.champion_score, e.difference, e.lower_bound, e.upper_bound, e.holdout_rows, e.holdout_entities,
                e.evaluated_at, (m.definition #>> '{promote,margin}')::double precision as margin
            from (select * from naura.evaluation order by id desc limit \(limit)) e
            left join naura.model m on m.name = e.model
            order by e.id
            """)
        return try rows.map { row in
            EvaluationRow(
                model: try row.get("model"), version: try row.get("version"), champion: try row.get("champion"),
                verdict: try row.get("verdict"), reason: try row.get("reason"), metric: try row.get("metric"),
                candidateScore: try row.get("candidate_score"), championScore: try row.get("champion_score"),
                difference: try row.get("difference"), lower: try row.get("lower_bound"),
                upper: try row.get("upper_bound"), margin: try row.get("margin"),
                holdoutRows: try row.get("holdout_rows"), holdoutEntities: try row.get("holdout_entities"),
                evaluatedAt: try row.get("evaluated_at"))
        }
    }

    /// The evidence of `rollouts`, each metric at its latest step.
    public static func evidence(of rollouts: [Int], in database: Database) async throws -> [EvidenceRow] {
        guard !rollouts.isEmpty else { return [] }
        let rows = try await database.query(
            """
            select distinct on (rollout_id, metric) rollout_id, metric, step, canary_units, canary_bad,
                baseline_units, baseline_bad, log_e
            from naura.rollout_evidence where rollout_id = any(\(rollouts))
            order by rollout_id, metric, step desc limit 100
            """)
        return try rows.map { row in
            EvidenceRow(
                rollout: try row.get("rollout_id"), metric: try row.get("metric"), step: try row.get("step"),
                canaryUnits: try row.get("canary_units"), canaryBad: try row.get("canary_bad"),
                baselineUnits: try row.get("baseline_units"), baselineBad: try row.get("baseline_bad"),
                logE: try row.get("log_e"))
        }
    }

    /// The last decisions of `rollouts`, oldest first.
    public static func decisions(
        of rollouts: [Int], limit: Int = 100, in database: Database
    ) async throws -> [DecisionRow] {
        guard !rollouts.isEmpty else { return [] }
        let rows = try await database.query(
            """
            select rollout_id, number, verdict, weight, decided_at from naura.rollout_decision
            where rollout_id = any(\(rollouts)) order by rollout_id desc, number desc limit \(limit)
            """)
        return try rows.reversed().map { row in
            DecisionRow(
                rollout: try row.get("rollout_id"), number: try row.get("number"), verdict: try row.get("verdict"),
                weight: try row.get("weight"), decidedAt: try row.get("decided_at"))
        }
    }

    /// The steps, margins and levels that `rollouts` were started with, by rollout.
    public static func rules(of rollouts: [Int], in database: Database) async throws -> [Int: RolloutPolicy] {
        guard !rollouts.isEmpty else { return [:] }
        let rows = try await database.query("select id, rules from naura.rollout where id = any(\(rollouts)) limit 100")
        return Dictionary(
            uniqueKeysWithValues: try rows.map { row in
                (try row.get("id"), try row.json("rules", as: StatedRules.self).policy)
            })
    }

    /// What each routed model's traffic gets.
    public static func serving(limit: Int = 100, in database: Database) async throws -> [ServingRow] {
        let rows = try await database.query(
            """
            select r.model, r.champion, r.canary, r.weight, r.epoch,
                (select count(*) from naura.gateway g
                    where g.model = r.model and g.seen_at > now() - interval '30 seconds') as gateways,
                (select count(*) from (select 1 from naura.prediction p
                    where p.model = r.model and p.at > now() - interval '10 seconds' limit 100000) l) as recent,
                (select p.at from naura.prediction p where p.model = r.model order by p.at desc limit 1) as last_at
            from naura.route r order by r.model limit \(limit)
            """)
        return try rows.map { row in
            ServingRow(
                model: try row.get("model"), champion: try row.get("champion"), canary: try row.get("canary"),
                weight: try row.get("weight"), epoch: try row.get("epoch"), gateways: try row.get("gateways"),
                recentPredictions: try row.get("recent"), lastPredictionAt: try row.get("last_at"))
        }
    }

    /// The projects that are in force, by name.
    public static func projects(limit: Int = 100, in database: Database) async throws -> [String] {
        try await database.query(
            "select distinct project from naura.project_version order by project limit \(limit)"
        ).map { try $0.get("project") }
    }
}
