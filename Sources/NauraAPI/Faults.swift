import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NauraPostgres

/// Turns what went wrong into an answer that a program can read: a lost database is 503, so that clients know to come
/// back, and a fault of ours is 500 and on record.
struct Faults<Context: RequestContext>: RouterMiddleware {
    let logger: Logger

    func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let refusal as APIError {
            throw refusal
        } catch let fault as PostgresError where fault.isTransient {
            throw APIError(.serviceUnavailable, .unavailable, "the database is away; try again in a moment")
        } catch let fault as HTTPError {
            throw APIError(fault.status, .badRequest, fault.body ?? sentence(fault.status, request))
        } catch let fault as NIOTooManyBytesError {
            let limit = fault.maxBytes.map { " \($0) bytes" } ?? " this address takes"
            throw APIError(.contentTooLarge, .tooLong, "the body is longer than\(limit)")
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            logger.error(
                "a request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            throw APIError(.internalServerError, .internalFault, "Naura failed at this request; its log says more")
        }
    }

    private func sentence(_ status: HTTPResponse.Status, _ request: Request) -> String {
        switch status {
        case .notFound: "there is nothing at \(request.method) \(request.uri.path)"
        default: status.reasonPhrase
        }
    }
}
