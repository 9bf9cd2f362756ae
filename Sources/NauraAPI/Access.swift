import HTTPTypes
import Hummingbird
import NauraRules

/// Lets requests in: with a token configured, those that carry it; without one, those that this machine's own
/// programs sent to a loopback name.
///
/// A browser that cannot send headers exchanges `?token=…` for a cookie, which opens pages and lists, never a write.
struct AccessGuard<Context: RequestContext>: RouterMiddleware {
    let token: AccessToken?

    private let cookieName = "naura_token"

    func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard let token else {
            try checkLoopback(request)
            return try await next(request, context)
        }
        if token.admits(authorization: request.headers[.authorization]) { return try await next(request, context) }
        let isRead = request.method == .get || request.method == .head
        if isRead, let offered = request.uri.queryParameters["token"] {
            guard token.matches(String(offered)) else { throw refusal }
            return exchange(String(offered), path: request.uri.path)
        }
        if isRead, let cookie = request.cookies[cookieName], token.matches(cookie.value) {
            return try await next(request, context)
        }
        throw refusal
    }

    private var refusal: APIError {
        APIError(
            .unauthorized, .unauthorized,
            "this address wants the token: send `Authorization: Bearer …`, or open the page once with `?token=…`")
    }

    /// Sets the cookie and sends the browser to the same page without the token in its address.
    private func exchange(_ offered: String, path: String) -> Response {
        let cookie = Cookie(name: cookieName, value: offered, path: "/", httpOnly: true, sameSite: .strict)
        var response = Response(status: .seeOther, headers: [.location: path, .cacheControl: "no-store"])
        response.setCookie(cookie)
        return response
    }

    /// A page of another site can make a browser send requests here under a name of its own choosing (DNS rebinding).
    private func checkLoopback(_ request: Request) throws {
        guard let authority = request.head.authority ?? request.headers[HTTPField.Name("host")!] else { return }
        let host: Substring
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            host = authority[...end]
        } else {
            host = authority.prefix { $0 != ":" }
        }
        guard ListenPolicy.isLoopback(String(host)) else {
            throw APIError(
                .forbidden, .forbidden,
                "`\(host)` is not this machine's loopback name; configure NAURA_TOKEN to be reached otherwise")
        }
    }
}

/// Headers that keep a browser from doing with our answers what they are not for.
struct SecurityHeaders<Context: RequestContext>: RouterMiddleware {
    let contentSecurityPolicy: String

    func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        response.headers[HTTPField.Name("content-security-policy")!] = contentSecurityPolicy
        response.headers[HTTPField.Name("x-content-type-options")!] = "nosniff"
        response.headers[HTTPField.Name("referrer-policy")!] = "no-referrer"
        return response
    }
}
