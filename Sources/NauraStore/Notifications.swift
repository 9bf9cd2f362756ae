import Foundation
import NauraPostgres
import NauraRules

/// A channel of a project, with the name by which notifications know it: `project/channel`.
public struct ProjectChannel: Sendable, Equatable {
    /// `project/channel`.
    public let name: String
    public let channel: NotifyChannel
    /// The project that names it.
    public var project: String { String(name.prefix { $0 != "/" }) }
}

/// What people are told, by which channel, and whether they have been.
public struct FiledNotification: Sendable, Equatable {
    public let id: Int
    /// `project/channel`.
    public let channel: String
    public let subject: String
    public let body: String
    /// The event that it tells of.
    public let event: String
    /// That event's type.
    public let type: String
    public let isSent: Bool
}

/// What people must hear of.
public enum Notifications {
    /// The channels that `model` names, in the project version in force.
    public static func channels(ofModel model: String, in transaction: Transaction) async throws -> [ProjectChannel] {
        try await transaction.query(
            """
            select p.project || '/' || c.key as name, c.value as channel
            from naura.model m
            join naura.project_version p on p.project = m.project and p.version = m.project_version
            cross join lateral jsonb_each(p.document -> 'notify') c
            where m.name = \(model) and m.definition -> 'notify' ? c.key
            order by c.key limit 100
            """
        ).map(channel)
    }

    /// The channels named by models that read `dataset` or their labels from it; all of its project when none does.
    public static func channels(
        ofDataset dataset: String, in transaction: Transaction
    ) async throws -> [ProjectChannel] {
        try await transaction.query(
            """
            with project as (
                select p.project, p.document from naura.dataset d
                join lateral (
                    select project, document from naura.project_version v
                    where v.project = d.project order by version desc limit 1) p on true
                where d.name = \(dataset)
            ), readers as (
                select m.value -> 'notify' as names from project, jsonb_each(project.document -> 'models') m
                where m.value #>> '{label,dataset}' = \(dataset)
                or exists (
                    select 1 from jsonb_each(project.document -> 'featureViews') v
                    where v.value ->> 'dataset' = \(dataset) and m.value -> 'features' ? v.key)
            )
            select project.project || '/' || c.key as name, c.value as channel
            from project, jsonb_each(project.document -> 'notify') c
            where exists (select 1 from readers where names ? c.key) or not exists (select 1 from readers)
            order by c.key limit 100
            """
        ).map(channel)
    }

    /// The channels that somebody can be told by who owns `subject`, a model or a dataset; all there are when nobody
    /// does.
    public static func channels(ofAnything subject: String, in transaction: Transaction) async throws
        -> [ProjectChannel]
    {
        let ofModel = try await channels(ofModel: subject, in: transaction)
        if !ofModel.isEmpty { return ofModel }
        let ofDataset = try await channels(ofDataset: subject, in: transaction)
        if !ofDataset.isEmpty { return ofDataset }
        return try await transaction.query(
            """
            select p.project || '/' || c.key as name, c.value as channel
            from (select distinct on (project) project, document from naura.project_version
                order by project, version desc) p
            cross join lateral jsonb_each(p.document -> 'notify') c
            order by 1 limit 100
            """
        ).map(channel)
    }

    /// The channel of this name in the project version in force; nil when it was taken away.
    public static func channel(_ name: String, in transaction: Transaction) async throws -> NotifyChannel? {
        try await transaction.first(
            """
            select c.value as channel
            from (select distinct on (project) project, document from naura.project_version
                order by project, version desc) p
            cross join lateral jsonb_each(p.document -> 'notify') c
            where p.project || '/' || c.key = \(name)
            """
        )?.json("channel")
    }

    /// Files what `channel` is to be told of `event`; a second time changes nothing.
    public static func file(
        channel: String, event: String, type: String, subject: String, body: String, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.notification (channel, dedupe, subject, body, event_id, event_type)
            values (\(channel), \(event), \(subject), \(body), \(event), \(type))
            on conflict (channel, dedupe) do nothing
            """)
    }

    /// What `channel` is to be told of `event`.
    public static func find(
        channel: String, event: String, in transaction: Transaction
    ) async throws -> FiledNotification? {
        try await transaction.first(
            """
            select id, channel, subject, body, event_id, event_type, sent_at is not null as is_sent
            from naura.notification
            where channel = \(channel) and dedupe = \(event)
            """
        ).map {
            FiledNotification(
                id: try $0.get("id"), channel: try $0.get("channel"), subject: try $0.get("subject"),
                body: try $0.get("body"), event: try $0.get("event_id"), type: try $0.get("event_type"),
                isSent: try $0.get("is_sent"))
        }
    }

    /// Notes that the notification has been sent.
    public static func markSent(_ id: Int, in transaction: Transaction) async throws {
        try await transaction.execute(
            "update naura.notification set sent_at = now() where id = \(id) and sent_at is null")
    }

    private static func channel(_ row: Row) throws -> ProjectChannel {
        ProjectChannel(name: try row.get("name"), channel: try row.json("channel"))
    }
}
