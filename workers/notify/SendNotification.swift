import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NauraEvents
import NauraFailpoints
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

/// Sends one notification by its channel.
///
/// A message may arrive twice when the worker dies between sending and noting it; the header `Idempotency-Key` is the
/// same then.
struct SendNotification: JobRunner {
    struct Arguments: Codable, Sendable {
        /// `project/channel`.
        let channel: String
        let event: EventID
    }

    /// What a webhook gets. `text` alone is what Slack and its kin read.
    struct Message: Codable, Sendable, Equatable {
        let text: String
        let type: String
        let subject: String
        let body: String
        let event: String
        let channel: String
    }

    static let kind: JobKind = "send"
    static let policy = JobPolicy(timeout: .seconds(60))
    /// A webhook that takes longer is tried again.
    private static let timeout: TimeAmount = .seconds(10)

    let client: HTTPClient
    let logger: Logger

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let (found, channel) = try await lease.transaction { work in
            (
                try await Notifications.find(
                    channel: job.arguments.channel, event: job.arguments.event.rawValue, in: work.transaction),
                try await Notifications.channel(job.arguments.channel, in: work.transaction)
            )
        }
        guard let notification = found, !notification.isSent else { return try await lease.settle { _ in } }
        guard let channel else {
            throw Rejection("the channel \(job.arguments.channel) is no longer in the project file", code: "no-channel")
        }
        switch channel {
        case .log:
            logger.notice(
                "people are told",
                metadata: [
                    "channel": "\(notification.channel)", "subject": "\(notification.subject)",
                    "body": "\(notification.body)", "event": "\(notification.event)",
                ])
        case .webhook(let url): try await post(notification, to: url)
        }
        Failpoint.notificationSent.reach()
        try await lease.settle { work in try await Notifications.markSent(notification.id, in: work.transaction) }
    }

    private func post(_ notification: FiledNotification, to url: String) async throws {
        guard let address = URL(string: url), ["http", "https"].contains(address.scheme), address.host() != nil else {
            throw Rejection("the webhook \(url) is no http address", code: "bad-webhook")
        }
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "idempotency-key", value: "\(notification.channel)/\(notification.event)")
        request.headers.add(name: "user-agent", value: "naura-notify")
        let message = Message(
            text: "\(notification.subject)\n\(notification.body)", type: notification.type,
            subject: notification.subject, body: notification.body, event: notification.event,
            channel: notification.channel)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        request.body = .bytes(ByteBuffer(bytes: try encoder.encode(message)))
        let response = try await client.execute(request, timeout: Self.timeout, logger: logger)
        try check(response.status.code, url)
    }

    /// A refusal that another try cannot change ends the sending; anything else is tried again.
    private func check(_ status: UInt, _ url: String) throws {
        switch status {
        case 200..<300: return
        case 408, 425, 429, 500...: throw WebhookFault(url: url, status: status)
        default: throw Rejection("the webhook \(url) answered \(status)", code: "webhook-refused")
        }
    }
}

/// A webhook that could not take a message now.
struct WebhookFault: Error, CustomStringConvertible {
    let url: String
    let status: UInt

    var description: String { "the webhook \(url) answered \(status)" }
}
