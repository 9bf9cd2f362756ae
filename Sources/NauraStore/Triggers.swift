public import Foundation
public import NauraPostgres
public import NauraRules

/// The event that asks for a training.
public struct TriggerEvent: Sendable {
    /// The event's id; a second delivery of it is no second trigger.
    public let id: String
    public let rootID: String
    public let traceparent: String?

    public init(id: String, rootID: String, traceparent: String?) {
        self.id = id
        self.rootID = rootID
        self.traceparent = traceparent
    }
}

/// The pending triggers of one model, and what their folding depends on.
public struct PendingTriggers: Sendable, Equatable {
    public let model: String
    /// The project that defines the model.
    public let project: String
    public let policy: RetrainPolicy
    /// The transaction's `now()`.
    public let now: Date
    /// When the oldest and the newest pending trigger came.
    public let firstAt: Date
    public let lastAt: Date
    /// Whether a person is among those who ask: nobody lets them wait.
    public let isAskedByHand: Bool
    /// Whether only a backfill asks: nobody waits for the training, and its version is not deployed by itself.
    public let isBackfill: Bool
    /// When trainings of the model started: those of the last 7 days, and the newest.
    public let trainingStarts: [Date]
    /// The newest training request, pending triggers excluded; 0 before the first. Names the fold.
    public let lastRequest: Int

    /// Seconds until the triggers may become a training; 0 when they may now.
    public var secondsUntilDue: Double {
        guard !isAskedByHand else { return 0 }
        let due = TriggerFolding.due(
            firstTrigger: firstAt, lastTrigger: lastAt, trainingStarts: trainingStarts, policy: policy)
        return max(0, due.at.timeIntervalSince(now))
    }

    /// What the training's job is about: all triggers until the next request is frozen are one job.
    public var fold: String { "\(model)/\(lastRequest)" }
}

/// Reasons to train, one row an event and model, until a training request takes them all.
///
/// A trigger's insert holds a key-share lock on its model's row, and a freeze locks that row: a trigger is therefore
/// either taken by the freeze, or sees the new request and files the next fold. None is stranded in between.
public enum Triggers {
    /// Files a trigger for each model that reads one of `views`, or its labels from `dataset`, and listens to new data.
    public static func file(
        newDataOf dataset: String, views: [String], isBackfill: Bool, for event: TriggerEvent,
        in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.trigger (model, kind, event_id, root_id, traceparent, is_backfill)
            select name, 'new-data', \(event.id), \(event.rootID), \(event.traceparent), \(isBackfill)
            from naura.model
            where not is_retired and definition->'retrain'->'on' ? 'new-data'
            and (definition->'features' ?| \(views) or definition->'label'->>'dataset' = \(dataset))
            order by name
            on conflict (model, event_id) do nothing
            """)
    }

    /// Files a trigger for `model` if it is defined and listens to `kind`.
    public static func file(
        _ kind: TriggerKind, model: String, for event: TriggerEvent, codeCommit: String? = nil, actor: String? = nil,
        reason: String? = nil, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.trigger (model, kind, event_id, root_id, traceparent, code_commit, actor, reason)
            select name, \(kind.rawValue), \(event.id), \(event.rootID), \(event.traceparent), \(codeCommit), \(actor),
                \(reason)
            from naura.model
            where name = \(model) and not is_retired
            and (\(kind.rawValue) = 'retrain-due' or definition->'retrain'->'on' ? \(kind.rawValue))
            on conflict (model, event_id) do nothing
            """)
    }

    /// The pending triggers of each model for which `event` filed one.
    public static func pending(
        filedBy event: TriggerEvent, in transaction: Transaction
    ) async throws -> [PendingTriggers] {
        try await transaction.query(
            """
            select m.name, m.project, m.definition->'retrain' as policy, now() as now, first.at as first_at,
                last.at as last_at, hand.is_asked, old.is_backfill, starts.at as starts, request.id as last_request
            from naura.trigger t
            join naura.model m on m.name = t.model
            cross join lateral (
                select at from naura.trigger where model = t.model and request_id is null order by id limit 1) first
            cross join lateral (
                select at from naura.trigger where model = t.model and request_id is null order by id desc limit 1) last
            cross join lateral (
                select exists (select 1 from naura.trigger where model = t.model and request_id is null
                    and actor is not null) as is_asked) hand
            cross join lateral (
                select not exists (select 1 from naura.trigger where model = t.model and request_id is null
                    and not is_backfill) as is_backfill) old
            cross join lateral (
                select coalesce(max(id), 0) as id from naura.training_request where model = t.model) request
            cross join lateral (
                select array(
                    select extract(epoch from r.frozen_at)::double precision from naura.training_request r
                    where r.model = t.model and r.state in ('frozen', 'trained')
                    -- A backfill's trainings use up no weekly budget of others.
                    and (r.id = request.id or r.frozen_at > now() - interval '7 days' and not r.is_backfill)
                    order by r.id desc limit 1000) as at) starts
            where t.event_id = \(event.id) and t.request_id is null
            order by m.name limit 1000
            """
        ).map(pending)
    }

    /// The pending triggers of `model`; nil when there are none.
    public static func pending(of model: String, in transaction: Transaction) async throws -> PendingTriggers? {
        let row = try await transaction.first(
            "select event_id, root_id from naura.trigger where model = \(model) and request_id is null order by id limit 1"
        )
        guard let row else { return nil }
        let event = TriggerEvent(id: try row.get("event_id"), rootID: try row.get("root_id"), traceparent: nil)
        return try await pending(filedBy: event, in: transaction).first { $0.model == model }
    }

    /// How many of the events `causes` have a pending trigger of `model`.
    public static func pendingCount(
        of model: String, among causes: [String], in transaction: Transaction
    ) async throws -> Int {
        try await transaction.first(
            """
            select count(*)::bigint as n from naura.trigger
            where model = \(model) and request_id is null and event_id = any(\(causes))
            """
        )?.get("n") ?? 0
    }

    private static func pending(_ row: Row) throws -> PendingTriggers {
        PendingTriggers(
            model: try row.get("name"), project: try row.get("project"), policy: try row.json("policy"),
            now: try row.get("now"),
            firstAt: try row.get("first_at"), lastAt: try row.get("last_at"),
            isAskedByHand: try row.get("is_asked"), isBackfill: try row.get("is_backfill"),
            trainingStarts: try row.get("starts", as: [Double].self).map(Date.init(timeIntervalSince1970:)),
            lastRequest: try row.get("last_request"))
    }
}

/// The greatest snapshot of each dataset whose features `train` was told of: what a training may read.
public enum ReadPoints {
    /// Notes that the rows of snapshot `number` of `dataset` can be read. Never goes back.
    public static func advance(_ dataset: String, to number: Int64, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            insert into naura.read_point (dataset, number) values (\(dataset), \(number))
            on conflict (dataset) do update set number = greatest(naura.read_point.number, excluded.number)
            """)
    }
}
