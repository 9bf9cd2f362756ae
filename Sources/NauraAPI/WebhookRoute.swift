import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NauraEvents
import NauraLedger
import NauraPostgres

/// `POST /api/v1/webhooks/github`: merges, told by the code host itself. The signature is its authentication; the token
/// of the other routes is neither asked for nor enough.
///
/// The event's id follows from repository, ref and commit. A delivery that is sent again, or a second webhook or a
/// `pull_request` beside its `push` that tell of the same commit, is therefore the same event, and starts nothing.
struct WebhookRoute: Sendable {
    let secret: WebhookSecret?
    let database: Database
    let logger: Logger
    let onPublished: PublishedHandler

    /// GitHub's own limit: it sends nothing longer.
    static let bodyBytesMax = 25 << 20
    static let source = "/naura/webhooks/github"

    private struct Accepted: Encodable {
        let id: String
        let type: String
        let subject: String
        /// True when the same merge had been told before.
        let repeated: Bool
    }

    private struct Ignored: Encodable {
        /// Why nothing follows.
        let ignored: String
    }

    func receive(_ request: Request) async throws -> Response {
        guard let secret else {
            throw APIError(
                .serviceUnavailable, .notConfigured,
                "no webhook secret is configured: start the worker `api` with NAURA_WEBHOOK_SECRET_FILE (or "
                    + "NAURA_WEBHOOK_SECRET) and give the code host the same secret")
        }
        let began = Date()
        // Refused before a byte of the body is read.
        guard let signature = request.headers[HTTPField.Name("x-hub-signature-256")!],
            WebhookSecret.code(in: signature) != nil
        else { throw refusal("X-Hub-Signature-256 is missing or malformed; configure the secret at the code host") }
        let body = Data(try await request.body.collect(upTo: Self.bodyBytesMax).readableBytesView)
        guard secret.signed(body, as: signature) else {
            throw refusal("X-Hub-Signature-256 is not this body's signature: the two secrets differ")
        }
        guard (request.headers[.contentType] ?? "").lowercased().hasPrefix("application/json") else {
            throw APIError(
                .unsupportedMediaType, .unsupportedMediaType,
                "expected the content type application/json; choose it in the webhook's settings")
        }
        guard let kind = request.headers[HTTPField.Name("x-github-event")!] else {
            throw APIError(.badRequest, .badRequest, "the header X-GitHub-Event is missing")
        }
        let delivery: GitHubDelivery
        do {
            delivery = try GitHubDelivery(kind: kind, body: body)
        } catch {
            throw APIError(.unprocessableContent, .badRequest, "the body is no \(kind) event of GitHub: \(error)")
        }
        switch delivery {
        case .ignored(let reason): return try JSONAnswer.response(Ignored(ignored: reason))
        case .merged(let merged, let distinction): return try await publish(merged, distinction, began)
        }
    }

    private func publish(_ merged: CodeMerged, _ distinction: String, _ began: Date) async throws -> Response {
        let id = EventID.derived(
            stage: "webhook", type: CodeMerged.type, subject: merged.repository,
            about: "\(merged.ref) \(merged.commit) \(distinction)")
        let event: EncodedEvent
        do throws(EventFault) {
            event = try EncodedEvent(
                merged, id: id, source: Self.source, time: .now,
                traceparent: Traceparent.published(CodeMerged.type, id, parent: nil, root: id))
        } catch {
            throw APIError(error)
        }
        let isNew = try await Publisher.publish(event, in: database)
        if isNew { onPublished(event, nil, began) }
        return try JSONAnswer.response(
            Accepted(id: id.rawValue, type: "\(CodeMerged.type)", subject: merged.repository, repeated: !isNew),
            status: isNew ? .accepted : .ok)
    }

    private func refusal(_ message: String) -> APIError {
        logger.warning("a webhook's signature was refused")
        return APIError(.unauthorized, .badSignature, message)
    }
}
