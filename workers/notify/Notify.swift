// Tells people what they must hear of: one message a cause and channel.

import AsyncHTTPClient
import Foundation
import NauraEvents
import NauraLedger
import NauraLedger
import NauraStage
import NauraStore
import ServiceLifecycle

@main enum NotifyWorker {
    static func main() async {
        await Worker.run("notify") { context in
            let client = HTTPClient()
            return WorkerParts()
                .stage(TellOfRejectedData())
                .stage(TellOfDrift())
                .stage(TellOfRejectedModel())
                .stage(TellOfRollout())
                .stage(TellOfDeadLetter())
                .runner(SendNotification(client: client, logger: context.logger))
                .service(ClientService(client: client))
        }
    }
}

/// Shuts the HTTP client down with the worker.
struct ClientService: Service {
    let client: HTTPClient

    func run() async throws {
        try await gracefulShutdown()
        try await client.shutdown()
    }
}

/// Tells that data was refused.
struct TellOfRejectedData: Stage {
    static let name: StageName = "notify-data-rejected"

    func handle(_ event: Event<DataRejected>, in work: borrowing Work) async throws {
        let rejected = event.payload
        let channels = try await Notifications.channels(
            ofDataset: rejected.dataset.rawValue, in: work.transaction)
        let findings = rejected.violations.prefix(10).map { violation in
            violation.message ?? "\(violation.rule) \(violation.column ?? "") × \(violation.count)"
        }
        let reason = rejected.reason.map { [$0] } ?? []
        let place = rejected.uri.map { ["file: \($0)"] } ?? []
        try await tell(
            channels, of: event.envelope, subject: "Data of \(rejected.dataset) was rejected",
            lines: place + reason + findings, in: work)
    }
}

/// Tells that live traffic has moved away from training, and that it is back.
struct TellOfDrift: Stage {
    static let name: StageName = "notify-drift-alert"

    func handle(_ event: Event<DriftAlert>, in work: borrowing Work) async throws {
        let alert = event.payload
        let channels = try await Notifications.channels(ofModel: alert.model.rawValue, in: work.transaction)
        let columns = alert.columns.prefix(10).map { column in
            "\(column.name): \(column.method) \(column.statistic.threeDigits) (limit \(column.threshold.threeDigits))"
        }
        let state =
            alert.state == .firing ? "Traffic of \(alert.model) drifts" : "Traffic of \(alert.model) drifts no more"
        try await tell(
            channels, of: event.envelope, subject: "\(state) (version \(alert.version))",
            lines: (alert.reason.map { [$0] } ?? []) + columns, in: work)
    }
}

/// Tells that a trained model was refused; one that merely equals the champion is no news.
struct TellOfRejectedModel: Stage {
    static let name: StageName = "notify-model-rejected"

    func handle(_ event: Event<ModelRejected>, in work: borrowing Work) async throws {
        let rejected = event.payload
        guard rejected.evaluation?.verdict != "unchanged" else { return }
        let channels = try await Notifications.channels(ofModel: rejected.model.rawValue, in: work.transaction)
        let reason = rejected.reason ?? rejected.evaluation?.reason
        try await tell(
            channels, of: event.envelope, subject: "Version \(rejected.version) of \(rejected.model) was rejected",
            lines: reason.map { [$0] } ?? [], in: work)
    }
}

/// Tells how a rollout ends, and when it stands still.
struct TellOfRollout: Stage {
    static let name: StageName = "notify-rollout-changed"

    func handle(_ event: Event<RolloutChanged>, in work: borrowing Work) async throws {
        let changed = event.payload
        let words: String
        switch changed.state {
        case .rolledBack: words = "was taken back"
        case .completed: words = "serves everyone"
        case .held: words = "is held at \((changed.weight * 100).threeDigits) % of the traffic"
        case .started, .advanced, .resumed, .superseded: return
        }
        let channels = try await Notifications.channels(ofModel: changed.model.rawValue, in: work.transaction)
        try await tell(
            channels, of: event.envelope, subject: "Version \(changed.version) of \(changed.model) \(words)",
            lines: changed.reason.isEmpty ? [] : [changed.reason], in: work)
    }
}

/// Tells that something failed for good, unless it was the telling.
struct TellOfDeadLetter: Stage {
    static let name: StageName = "notify-dead-letter"

    func handle(_ event: Event<DeadLetter>, in work: borrowing Work) async throws {
        let letter = event.payload
        // A channel that cannot be reached would else be told that it cannot be reached, for ever.
        guard letter.stage.rawValue != SendNotification.kind.rawValue, !letter.stage.rawValue.hasPrefix("notify-")
        else {
            return
        }
        let channels = try await Notifications.channels(ofAnything: letter.subject, in: work.transaction)
        try await tell(
            channels, of: event.envelope,
            subject: "\(letter.stage) gave up on \(letter.topic ?? "a job") of \(letter.subject)",
            lines: ["\(letter.code): \(letter.message)", "tries: \(letter.tries)"], in: work)
    }
}

/// Files one notification a channel, and the sending of each.
private func tell(
    _ channels: [ProjectChannel], of event: Envelope, subject: String, lines: [String], in work: borrowing Work
) async throws {
    for channel in channels {
        try await Notifications.file(
            channel: channel.name, event: event.id.rawValue, type: event.type.rawValue, subject: subject,
            body: lines.joined(separator: "\n"), in: work.transaction)
        // Keyed by its own name: a channel that is away holds up none of the other messages.
        let about = "\(channel.name)/\(event.id)"
        try await work.file(
            SendNotification.kind, key: about, about: about,
            arguments: SendNotification.Arguments(channel: channel.name, event: event.id), team: channel.project)
    }
}

extension Double {
    /// The number with three significant digits.
    fileprivate var threeDigits: String { formatted(.number.precision(.significantDigits(1...3)).grouping(.never)) }
}
