public import Foundation
public import NauraPostgres
public import NauraRules

/// A unit's bad event, as a gateway told it.
public struct BadUnit: Sendable, Equatable {
    public let metric: CanaryMetric
    /// The unit's salted hash, in hex.
    public let unit: String
    public let isCanary: Bool
    /// The canary's share of units by which the request was routed.
    public let weight: Double
    public let at: Date

    public init(metric: CanaryMetric, unit: String, isCanary: Bool, weight: Double, at: Date) {
        self.metric = metric
        self.unit = unit
        self.isCanary = isCanary
        self.weight = weight
        self.at = at
    }
}

/// A unit's bad event that was not known before.
public struct NewBadUnit: Sendable, Equatable {
    public let bad: BadUnit
    /// Whether it is the unit's first of all steps, which alone counts for harm.
    public let isFirst: Bool
}

/// What a rollout's decisions rest on. Units are counted once, however many gateways tell of them.
public enum RolloutEvidence {
    /// The evidence of each metric at `step`.
    public static func current(
        of rollout: Int, step: Int, in transaction: Transaction
    ) async throws -> [CanaryMetric: CanaryEvidence] {
        var evidence: [CanaryMetric: CanaryEvidence] = [:]
        for row in try await transaction.query(
            """
            select metric, canary_units, canary_bad, baseline_units, baseline_bad, log_e
            from naura.rollout_evidence where rollout_id = \(rollout) and step = \(step)::int limit 100
            """)
        {
            evidence[try row.get("metric")] = CanaryEvidence(
                canaryUnits: try row.get("canary_units"), canaryBad: try row.get("canary_bad"),
                baselineUnits: try row.get("baseline_units"), baselineBad: try row.get("baseline_bad"),
                harm: try HarmEvidence(logTerms: row.get("log_e")))
        }
        return evidence
    }

    /// Stores the evidence of each metric at `step`.
    public static func save(
        _ evidence: [CanaryMetric: CanaryEvidence], of rollout: Int, step: Int, in transaction: Transaction
    ) async throws {
        for (metric, counts) in evidence.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            try await transaction.execute(
                """
                insert into naura.rollout_evidence (rollout_id, metric, step, canary_units, canary_bad, baseline_units,
                    baseline_bad, log_e)
                values (\(rollout), \(metric), \(step)::int, \(counts.canaryUnits), \(counts.canaryBad),
                    \(counts.baselineUnits), \(counts.baselineBad), \(counts.harm.logTerms))
                on conflict (rollout_id, metric, step) do update set canary_units = excluded.canary_units,
                    canary_bad = excluded.canary_bad, baseline_units = excluded.baseline_units,
                    baseline_bad = excluded.baseline_bad, log_e = excluded.log_e
                """)
        }
    }

    /// Remembers `units` (salted hashes, in hex) of `step`, and returns how many of them were new.
    public static func addUnits(
        _ units: [String], of rollout: Int, step: Int, in transaction: Transaction
    ) async throws -> Int {
        guard !units.isEmpty else { return 0 }
        return try await transaction.update(
            """
            insert into naura.rollout_unit (rollout_id, step, unit)
            select \(rollout), \(step)::int, decode(unit, 'hex') from unnest(\(units)) unit
            on conflict do nothing
            """)
    }

    /// Remembers bad units of `step`, and returns those that this step did not know, in the given order.
    public static func addBad(
        _ bad: [BadUnit], of rollout: Int, step: Int, in transaction: Transaction
    ) async throws -> [NewBadUnit] {
        guard !bad.isEmpty else { return [] }
        let rows = try await transaction.query(
            """
            with fresh as (
                insert into naura.rollout_first_bad (rollout_id, step, metric, unit, is_canary, weight, at)
                select \(rollout), \(step)::int, metric, decode(unit, 'hex'), is_canary, weight, at
                from unnest(\(bad.map(\.metric.rawValue)), \(bad.map(\.unit)), \(bad.map(\.isCanary)),
                    \(bad.map(\.weight)), \(bad.map(\.at))) as given(metric, unit, is_canary, weight, at)
                on conflict do nothing returning metric, unit
            )
            select f.metric, encode(f.unit, 'hex') as unit, not exists (
                select 1 from naura.rollout_first_bad o
                where o.rollout_id = \(rollout) and o.metric = f.metric and o.unit = f.unit
                and o.step <> \(step)::int) as is_first
            from fresh f
            """)
        var isFirst: [String: Bool] = [:]
        for row in rows {
            isFirst["\(try row.get("metric", as: String.self))/\(try row.get("unit", as: String.self))"] =
                try row.get("is_first")
        }
        return bad.compactMap { bad in
            // Removed once used: a window that tells of one unit twice counts it once.
            isFirst.removeValue(forKey: "\(bad.metric.rawValue)/\(bad.unit.lowercased())").map {
                NewBadUnit(bad: bad, isFirst: $0)
            }
        }
    }

    /// Forgets up to `limit` units of a rollout that has ended: its counts and bad units stay.
    /// - Returns: how many were forgotten.
    public static func forgetUnits(of rollout: Int, limit: Int, in transaction: Transaction) async throws -> Int {
        try await transaction.update(
            """
            delete from naura.rollout_unit where ctid = any(array(
                select u.ctid from naura.rollout_unit u join naura.rollout r on r.id = u.rollout_id
                where u.rollout_id = \(rollout) and r.state not in ('waiting', 'running', 'held') limit \(limit)))
            """)
    }

    /// How many decisions on `rollout` are on record.
    public static func decisions(of rollout: Int, in transaction: Transaction) async throws -> Int {
        try await transaction.first(
            "select coalesce(max(number), 0)::bigint as n from naura.rollout_decision where rollout_id = \(rollout)"
        )?.get("n") ?? 0
    }

    /// Puts a decision on record with what it rests on, and returns its number, from 1 a rollout.
    public static func record(
        _ verdict: String, of rollout: Int, weight: Double, evidence: some Encodable & Sendable,
        in transaction: Transaction
    ) async throws -> Int {
        let row = try await transaction.first(
            """
            insert into naura.rollout_decision (rollout_id, number, verdict, weight, evidence)
            select \(rollout), coalesce(max(number), 0) + 1, \(verdict), \(weight), \(json: evidence)
            from naura.rollout_decision where rollout_id = \(rollout)
            returning number
            """)
        return try row?.get("number") ?? 0
    }
}
