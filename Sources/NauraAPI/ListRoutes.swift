import HTTPTypes
import Hummingbird
import NauraLedger
import NauraPostgres
import NauraStore

/// `GET /api/v1/…`: the lists, with the objects of the command line's `--json`, oldest first.
///
/// Parameters: `limit` (1 to 1,000, default 100); `model` for runs, rollouts and drift; `type` and `root` for events.
struct ListRoutes: Sendable {
    let database: Database

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("status") { _, _ in try JSONAnswer.response(try await LedgerOverview.status(in: database)) }
        group.get("events") { request, _ in
            let parameters = try Parameters(request)
            return try JSONAnswer.response(
                try await LedgerOverview.events(
                    type: parameters.text("type"), root: parameters.text("root"), limit: parameters.limit,
                    in: database))
        }
        group.get("runs") { request, _ in
            let parameters = try Parameters(request)
            return try JSONAnswer.response(
                try await Overview.runs(model: parameters.text("model"), limit: parameters.limit, in: database))
        }
        group.get("models") { request, _ in
            let parameters = try Parameters(request)
            return try JSONAnswer.response(try await Overview.models(limit: parameters.limit, in: database))
        }
        group.get("rollouts") { request, _ in
            let parameters = try Parameters(request)
            return try JSONAnswer.response(
                try await Overview.rollouts(model: parameters.text("model"), limit: parameters.limit, in: database))
        }
        group.get("drift") { request, _ in
            let parameters = try Parameters(request)
            return try JSONAnswer.response(
                try await Overview.drift(model: parameters.text("model"), limit: parameters.limit, in: database))
        }
    }

    private struct Parameters {
        let request: Request
        let limit: Int

        init(_ request: Request) throws {
            self.request = request
            guard let given = request.uri.queryParameters["limit"] else {
                limit = 100
                return
            }
            guard let number = Int(given), (1...1_000).contains(number) else {
                throw APIError(.badRequest, .badRequest, "`limit`: expected 1 to 1,000, found `\(given)`")
            }
            limit = number
        }

        func text(_ name: String) -> String? {
            request.uri.queryParameters[Substring(name)].flatMap { $0.isEmpty ? nil : String($0) }
        }
    }
}
