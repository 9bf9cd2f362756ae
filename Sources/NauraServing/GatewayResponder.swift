import HTTPTypes
public import Hummingbird
import NIOCore
import NauraEvents
import NauraRules
import Synchronization

/// The context of a request; the gateway needs nothing from it.
public struct GatewayContext: InitializableFromSource, Sendable {
    /// A context without a server.
    public init() {}

    /// Takes nothing from the server.
    public init(source: ApplicationRequestContextSource) {}
}

/// HTTP on one side, ``Gateway`` on the other: methods, headers, the body's limit, admission.
public struct GatewayResponder: HTTPResponder {
    let gateway: Gateway

    /// Answers with `gateway`.
    public init(_ gateway: Gateway) { self.gateway = gateway }

    /// Answers one request; what goes wrong becomes `{"error": …}`.
    public func respond(to request: Request, context: GatewayContext) async throws -> Response {
        let startedAt = Clocks.monotonicNanoseconds()
        let counters = gateway.counters
        guard counters.inFlight.add(1, ordering: .relaxed).newValue <= gateway.configuration.inFlightMax else {
            counters.inFlight.subtract(1, ordering: .relaxed)
            counters.overloaded.add(1, ordering: .relaxed)
            return Self.response(.unavailable("too many requests are in flight"))
        }
        defer { counters.inFlight.subtract(1, ordering: .relaxed) }
        do {
            return Self.response(try await answer(request, startedAt: startedAt))
        } catch let refusal as Refusal {
            counters.refuse(refusal.status)
            return Self.response(refusal)
        } catch let fault as JSONFault {
            counters.refuse(400)
            return Self.response(Refusal.malformed(fault.message))
        }
    }

    private func answer(_ request: Request, startedAt: UInt64) async throws -> Answer {
        let path = request.head.path ?? "/"
        let route: ModelRoute?
        if request.head.method == .post { route = gateway.current.predictPaths[path] } else { route = nil }
        if let route {
            try admit(request)
            let body = try await body(of: request)
            return try gateway.predict(call(route, nil, request, startedAt), body: body)
        }
        guard let endpoint = Endpoint(path: path) else {
            try admit(request)
            throw Refusal.unknownPath
        }
        if !endpoint.isHealth { try admit(request) }
        guard request.head.method == (endpoint.isPost ? .post : .get) else {
            throw Refusal(
                405, "this path takes \(endpoint.isPost ? "POST" : "GET")", allow: endpoint.isPost ? "POST" : "GET")
        }
        switch endpoint {
        case .predict(let name, let version):
            let (route, pinned) = (try gateway.route(name), try gateway.pinned(name, version))
            return try gateway.predict(call(route, pinned, request, startedAt), body: try await body(of: request))
        case .infer(let name, let version):
            let (route, pinned) = (try gateway.route(name), try gateway.pinned(name, version))
            return try gateway.infer(call(route, pinned, request, startedAt), body: try await body(of: request))
        case .predictByKey(let name):
            let route = try gateway.route(name)
            return try await gateway.predictByKey(
                call(route, nil, request, startedAt), body: try await body(of: request))
        default: return try gateway.describe(endpoint)
        }
    }

    private func call(_ route: ModelRoute, _ pinned: LoadedArm?, _ request: Request, _ startedAt: UInt64) -> Call {
        let unit = request.head.headerFields[.unit]
        return Call(route: route, pinned: pinned, unit: unit.flatMap { $0.isEmpty ? nil : $0 }, startedAt: startedAt)
    }

    private func admit(_ request: Request) throws(Refusal) {
        guard let token = gateway.configuration.token else { return }
        guard token.admits(authorization: request.head.headerFields[.authorization]) else {
            throw Refusal(401, "this needs the header Authorization: Bearer with the gateway's token")
        }
    }

    /// The whole body, within the limit; one that announces more is not read.
    private func body(of request: Request) async throws -> ByteBuffer {
        let limit = gateway.configuration.bodyBytesMax
        let tooLarge = Refusal(413, "the body is larger than \(limit) bytes")
        if let length = request.head.headerFields[.contentLength], let length = Int(length), length > limit {
            throw tooLarge
        }
        if let encoding = request.head.headerFields[.contentEncoding], encoding != "identity" {
            throw Refusal(415, "a body with a Content-Encoding is not read; send it as it is")
        }
        do {
            return try await request.body.collect(upTo: limit)
        } catch is NIOTooManyBytesError {
            throw tooLarge
        }
    }

    private static func response(_ answer: Answer) -> Response {
        var headers = HTTPFields()
        headers[.contentType] = "application/json"
        if let (id, arm) = answer.prediction {
            headers[.predictionID] = id.text
            headers[.modelVersion] = arm.versionText
            headers[.arm] = arm.arm.rawValue
        }
        return Response(
            status: HTTPResponse.Status(code: answer.status), headers: headers, body: .init(byteBuffer: answer.body))
    }

    private static func response(_ refusal: Refusal) -> Response {
        var response = response(Answer.error(refusal.status, refusal.message))
        if let allow = refusal.allow { response.headers[.allow] = allow }
        if let seconds = refusal.retryAfterSeconds { response.headers[.retryAfter] = String(seconds) }
        if refusal.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}

extension HTTPField.Name {
    static let unit = HTTPField.Name("x-naura-unit")!
    static let predictionID = HTTPField.Name("x-naura-prediction-id")!
    static let modelVersion = HTTPField.Name("x-naura-version")!
    static let arm = HTTPField.Name("x-naura-arm")!
}
