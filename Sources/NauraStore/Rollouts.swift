public import NauraPostgres
public import NauraRules

/// How a rollout stands.
public enum RolloutState: String, Sendable, CaseIterable {
    /// Another rollout of the model runs; this one begins after it, unless a newer one comes.
    case waiting
    case running
    /// Neither harm nor its absence is known; the weight stays.
    case held
    case completed
    case rolledBack = "rolled-back"
    case superseded
}

/// One version on its way to traffic. Times are counted in the database, from the transaction's `now()`.
public struct Rollout: Sendable, Equatable {
    public let id: Int
    public let model: String
    public let version: Int
    /// The champion beside which it runs, and while it waits the one that the gate compared it with; nil without one.
    public let baseline: Int?
    public let digest: String
    public let salt: String
    public let state: RolloutState
    /// The rules it was started with.
    public let policy: RolloutPolicy
    public let step: Int
    public let weight: Double
    /// The route's epoch at this step.
    public let epoch: Int64
    /// What the evidence last said, in a word.
    public let verdict: String
    /// Who promoted it: `naura` for the gate.
    public let actor: String
    /// The event that promoted the version, and the first of its chain.
    public let causeID: String
    public let rootID: String
    /// The trace context of the event that promoted the version.
    public let traceparent: String?
    public let secondsSinceStart: Double
    public let secondsInStep: Double
    public let secondsSinceTelemetry: Double
    /// Nil while it is not held.
    public let secondsHeld: Double?
    /// What a gateway says keeps the canary from serving at this step; nil when nothing does.
    public let fault: String?
}

/// Rollouts, and their course as far as it is rows. One a model runs at a time.
public enum Rollouts {
    /// Locks the model until the transaction ends: starts and ends of its rollouts come one after another.
    public static func lock(_ model: String, in transaction: Transaction) async throws {
        _ = try await transaction.first(
            "select 1 as one from naura.registered_model where name = \(model) for update")
    }

    /// The rules of the model's rollouts as the project file has them; the defaults for a model it does not name.
    public static func policy(of model: String, in transaction: Transaction) async throws -> RolloutPolicy {
        let row = try await transaction.first(
            "select definition from naura.model where name = \(model) and not is_retired")
        return try row?.json("definition", as: ModelDefinition.self).rollout ?? RolloutPolicy()
    }

    /// Files a waiting rollout, once an event; nil when the event has one already.
    public static func file(
        model: String, version: Int, comparedWith: Int?, digest: String, policy: RolloutPolicy, actor: String,
        reason: String, causeID: String, rootID: String, traceparent: String?, in transaction: Transaction
    ) async throws -> Int? {
        try await transaction.first(
            """
            insert into naura.rollout (model, version, baseline, digest, salt, state, rules, actor, reason, cause_id,
                root_id, traceparent)
            values (\(model), \(version)::int, \(comparedWith)::int, \(digest), \(causeID), 'waiting', \(json: policy),
                \(actor), \(reason), \(causeID), \(rootID), \(traceparent))
            on conflict (model, cause_id) do nothing returning id
            """
        )?.get("id")
    }

    /// The rollout `id`, locked until the transaction ends; nil when there is none.
    ///
    /// Its model is locked first, as everywhere here: two orders would be a deadlock.
    public static func find(_ id: Int, in transaction: Transaction) async throws -> Rollout? {
        _ = try await transaction.first(
            """
            select 1 as one from naura.registered_model m join naura.rollout r on r.model = m.name
            where r.id = \(id) for update of m
            """)
        return try await transaction.first(
            """
            select r.*,
                extract(epoch from now() - r.created_at)::double precision as since_start,
                extract(epoch from now() - coalesce(r.step_started_at, r.created_at))::double precision as in_step,
                extract(epoch from now() - coalesce(r.telemetry_at, r.created_at))::double precision as silence,
                extract(epoch from now() - r.held_at)::double precision as held,
                (select min(g.fault) from naura.gateway g
                    where g.model = r.model and g.epoch = r.epoch and g.fault is not null and g.canary is null
                    and g.champion is not null and g.seen_at > now() - interval '1 minute') as fault
            from naura.rollout r where r.id = \(id) for update of r
            """
        ).map(rollout)
    }

    /// The rollout of `model` that the promotion `cause` asked for, locked; nil when there is none.
    public static func find(_ model: String, cause: String, in transaction: Transaction) async throws -> Rollout? {
        let row = try await transaction.first(
            "select id from naura.rollout where model = \(model) and cause_id = \(cause)")
        guard let id = try row?.get("id", as: Int.self) else { return nil }
        return try await find(id, in: transaction)
    }

    /// The running or held rollout of `model`, locked.
    public static func active(of model: String, in transaction: Transaction) async throws -> Rollout? {
        let row = try await transaction.first(
            "select id from naura.rollout where model = \(model) and state in ('running', 'held')")
        guard let id = try row?.get("id", as: Int.self) else { return nil }
        return try await find(id, in: transaction)
    }

    /// The waiting rollouts of `model`, the newest first.
    public static func waiting(of model: String, in transaction: Transaction) async throws -> [Rollout] {
        var found: [Rollout] = []
        for row in try await transaction.query(
            "select id from naura.rollout where model = \(model) and state = 'waiting' order by id desc limit 1000")
        {
            if let rollout = try await find(try row.get("id"), in: transaction) { found.append(rollout) }
        }
        return found
    }

    /// A waiting rollout begins its first step, beside `baseline`.
    public static func begin(
        _ id: Int, baseline: Int, weight: Double, epoch: Int64, reason: String, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.rollout set state = 'running', baseline = \(baseline)::int, step = 0, weight = \(weight),
                epoch = \(epoch), verdict = 'started', reason = \(reason), step_started_at = now(),
                telemetry_at = now(), looked_at = now()
            where id = \(id) and state = 'waiting'
            """)
    }

    /// Takes the next step, also out of a hold.
    public static func advance(
        _ id: Int, to step: Int, weight: Double, epoch: Int64, verdict: String, reason: String,
        in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.rollout set state = 'running', step = \(step)::int, weight = \(weight), epoch = \(epoch),
                verdict = \(verdict), reason = \(reason), step_started_at = now(), held_at = null
            where id = \(id) and state in ('running', 'held') and step = \(step - 1)::int
            """)
    }

    /// Holds a running rollout, or lets a held one run on.
    public static func setHeld(
        _ id: Int, _ isHeld: Bool, verdict: String, reason: String, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.rollout set state = \(isHeld ? "held" : "running"), verdict = \(verdict), reason = \(reason),
                held_at = case when \(isHeld) then now() end
            where id = \(id) and state = \(isHeld ? "running" : "held")
            """)
    }

    /// Ends a rollout that has not ended.
    public static func end(
        _ id: Int, as state: RolloutState, baseline: Int?, weight: Double, epoch: Int64, verdict: String,
        reason: String, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.rollout set state = \(state), baseline = \(baseline)::int,
                weight = \(weight), epoch = \(epoch), verdict = \(verdict), reason = \(reason), held_at = null,
                ended_at = now()
            where id = \(id) and state in ('waiting', 'running', 'held')
            """)
    }

    /// Records what was seen and said at a look: `isHeard` when a gateway was heard of.
    ///
    /// When nobody has looked for longer than `awaySeconds`, windows may lie unread: silence counts from now.
    public static func look(
        _ id: Int, isHeard: Bool, verdict: String, reason: String, awaySeconds: Double, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.rollout set verdict = \(verdict), reason = \(reason), looked_at = now(),
                telemetry_at = case
                    when \(isHeard) or looked_at < now() - make_interval(secs => \(awaySeconds)) then now()
                    else telemetry_at end
            where id = \(id) and state in ('running', 'held')
            """)
    }

    /// Whether nobody has looked at the rollout for longer than `seconds`.
    public static func wasAway(_ id: Int, seconds: Double, in transaction: Transaction) async throws -> Bool {
        try await transaction.first(
            """
            select coalesce(looked_at < now() - make_interval(secs => \(seconds)), true) as away
            from naura.rollout where id = \(id)
            """
        )?.get("away") ?? false
    }

    /// Sets where the version stands in the registry.
    public static func mark(
        _ version: Int, of model: String, as state: String, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.model_version set state = \(state)
            where model = \(model) and version = \(version)::int and state <> 'champion'
            """)
    }

    private static func rollout(_ row: Row) throws -> Rollout {
        Rollout(
            id: try row.get("id"), model: try row.get("model"), version: try row.get("version"),
            baseline: try row.get("baseline"), digest: try row.get("digest"), salt: try row.get("salt"),
            state: try row.get("state"), policy: try row.json("rules"), step: try row.get("step"),
            weight: try row.get("weight"), epoch: try row.get("epoch"), verdict: try row.get("verdict"),
            actor: try row.get("actor"), causeID: try row.get("cause_id"), rootID: try row.get("root_id"),
            traceparent: try row.get("traceparent"),
            secondsSinceStart: try row.get("since_start"), secondsInStep: try row.get("in_step"),
            secondsSinceTelemetry: try row.get("silence"), secondsHeld: try row.get("held"),
            fault: try row.get("fault"))
    }
}
