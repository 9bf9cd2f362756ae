import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import NauraEvents

/// Why a request was refused.
public struct APIError: Error, CustomStringConvertible, HTTPResponseError {
    /// The kind of refusal, as it stands in the answer's body.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }

        /// A parameter or header has a value that is not accepted.
        public static let badRequest = Code(rawValue: "bad-request")
        /// The token is missing or wrong.
        public static let unauthorized = Code(rawValue: "unauthorized")
        /// The request was sent by a page of another site, or to another name of this machine.
        public static let forbidden = Code(rawValue: "forbidden")
        /// Such events are not published by clients.
        public static let notPublishable = Code(rawValue: "not-publishable")
        /// The body's media type is not read here.
        public static let unsupportedMediaType = Code(rawValue: "unsupported-media-type")
        /// The same idempotency key came with another body.
        public static let keyReused = Code(rawValue: "idempotency-key-reused")
        /// A webhook's signature is missing or wrong.
        public static let badSignature = Code(rawValue: "bad-signature")
        /// What the route needs was not configured; the message says how to.
        public static let notConfigured = Code(rawValue: "not-configured")
        /// The body is longer than the route takes.
        public static let tooLong = Code(rawValue: "too-long")
        /// A fault of Naura's own.
        public static let internalFault = Code(rawValue: "internal")
        /// The database is away.
        public static let unavailable = Code(rawValue: "unavailable")
    }

    public let status: HTTPResponse.Status
    public let code: Code
    /// A sentence that says what was found and what would be accepted.
    public let message: String
    /// Whether the same request may succeed later.
    public var isTransient: Bool { code == .unavailable }

    public init(_ status: HTTPResponse.Status, _ code: Code, _ message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    init(_ fault: EventFault) {
        status = .unprocessableContent
        code = Code(rawValue: fault.code.rawValue)
        message = fault.message
    }

    public var description: String { "\(code): \(message)" }

    public func response(from request: Request, context: some RequestContext) throws -> Response {
        let body = Body(error: Body.Fault(code: code.rawValue, message: message))
        var response = try JSONAnswer.response(body, status: status)
        if code == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer realm=\"naura\"" }
        if isTransient { response.headers[.retryAfter] = "1" }
        return response
    }

    private struct Body: Encodable {
        struct Fault: Encodable {
            let code: String
            let message: String
        }
        let error: Fault
    }
}

/// Answers in JSON with Naura's times.
enum JSONAnswer {
    static func response(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        var body = ByteBuffer(bytes: try CodableTimes.encoder.encode(value))
        body.writeString("\n")
        return Response(
            status: status,
            headers: [.contentType: "application/json; charset=utf-8", .cacheControl: "no-store"],
            body: .init(byteBuffer: body))
    }
}
