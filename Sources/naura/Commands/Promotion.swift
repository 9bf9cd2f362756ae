import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore

/// Promotion by hand: an event for `rollout`, and the action on record, in one transaction.
enum Promotion {
    /// Lets `version` of `model` past the gate.
    ///
    /// - Returns: the event's id.
    /// - Throws: ``CommandError`` when there is no such version, or it is the champion already.
    static func request(model: String, version: Int, reason: String, in database: Database) async throws -> EventID {
        let models = try await Overview.models(in: database)
        guard let row = models.first(where: { $0.name == model }) else {
            let known = models.map(\.name).joined(separator: ", ")
            throw CommandError(.notFound, "no model \(model); there are: \(known)")
        }
        guard row.versions.contains(where: { $0.version == version }) else {
            let known = row.versions.map { "\($0.version)" }.joined(separator: ", ")
            throw CommandError(.notFound, "\(model) has no version \(version); there are: \(known)")
        }
        guard row.champion != version else {
            throw CommandError(.badArgument, "version \(version) of \(model) is its champion already")
        }
        let id = EventID(Outgoing.newID())
        let payload = ModelPromoted(
            model: ModelID(model), version: version, champion: row.champion, requestedBy: Outgoing.actor,
            reason: reason)
        let event = try EncodedEvent(
            payload, id: id, source: Outgoing.source, time: Date(), traceparent: Outgoing.traceparent)
        try await database.transaction { transaction in
            try await Publisher.publish(event, in: transaction)
            try await Actions.record(
                actor: Outgoing.actor, verb: "promote", target: "\(model)/\(version)", reason: reason,
                eventID: id.rawValue, in: transaction)
        }
        return id
    }
}
