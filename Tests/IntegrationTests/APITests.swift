import Foundation
import NauraAPI
import NauraEvents
import NauraLedger
import NauraTestKit
import Testing

@Suite("The control plane's HTTP", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct APITests {
    private static let json = ["content-type": "application/json"]
    private static let arrival = #"{"dataset":"customers","uri":"file:///data/a.csv"}"#

    private struct Accepted: Decodable {
        let id: String
        let subject: String
        let repeated: Bool
    }

    private struct Refused: Decodable {
        struct Fault: Decodable {
            let code: String
            let message: String
        }
        let error: Fault
    }

    private struct Listed: Decodable {
        let id: String
        let type: String
        let subject: String
        let time: String
        let causeID: String?
        let rootID: String

        private enum CodingKeys: String, CodingKey {
            case id, type, subject, time
            case causeID = "cause_id"
            case rootID = "root_id"
        }
    }

    @Test("a published event is in the outbox when the answer comes, and the list shows it oldest first")
    func publishes() async throws {
        try await RunningAPI.with { api in
            var ids: [String] = []
            for name in ["a", "b"] {
                let answer = try await api.send(
                    "/api/v1/events/new-data", method: "POST", headers: Self.json,
                    body: #"{"dataset":"customers","uri":"file:///data/\#(name).csv"}"#)
                #expect(answer.status == 202)
                let accepted: Accepted = try answer.json()
                #expect(accepted.subject == "customers")
                ids.append(accepted.id)
            }
            let listed: [Listed] = try await api.send("/api/v1/events?limit=10").json()
            #expect(listed.map(\.id) == ids)
            #expect(listed.allSatisfy { $0.type == "new-data" && $0.rootID == $0.id && $0.causeID == nil })
            #expect(listed.allSatisfy { CodableTimes.date(from: $0.time) != nil })
        }
    }

    @Test("the same idempotency key publishes once, and another body under it is refused")
    func idempotency() async throws {
        try await RunningAPI.with { api in
            let headers = Self.json.merging(["Idempotency-Key": "nightly-17"]) { first, _ in first }
            let first: Accepted = try await api.send(
                "/api/v1/events/new-data", method: "POST", headers: headers, body: Self.arrival
            ).json()
            let second: Accepted = try await api.send(
                "/api/v1/events/new-data", method: "POST", headers: headers, body: Self.arrival
            ).json()
            #expect(first.id == second.id)
            #expect(!first.repeated && second.repeated)
            // The same in other bytes: a client may order its fields anew each time.
            let reordered: Accepted = try await api.send(
                "/api/v1/events/new-data", method: "POST", headers: headers,
                body: #"{ "uri": "file:///data/a.csv", "dataset": "customers" }"#
            ).json()
            #expect(reordered.id == first.id && reordered.repeated)
            let other = try await api.send(
                "/api/v1/events/new-data", method: "POST", headers: headers,
                body: #"{"dataset":"customers","uri":"file:///data/other.csv"}"#)
            #expect(other.status == 422)
            #expect(try other.json(as: Refused.self).error.code == "idempotency-key-reused")
            // A body about another dataset is another body, too.
            let elsewhere = try await api.send(
                "/api/v1/events/new-data", method: "POST", headers: headers,
                body: #"{"dataset":"orders","uri":"file:///data/a.csv"}"#)
            #expect(elsewhere.status == 422)
            #expect(try elsewhere.json(as: Refused.self).error.message.contains("another body"))
            #expect(try await LedgerOverview.events(in: api.database).count == 1)
        }
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        let path: String
        let contentType: String
        let body: String
        let status: Int
        let message: String
        var testDescription: String { message }
    }

    @Test(
        "what is no publishable event is refused, and the answer says why",
        arguments: [
            Bad(
                path: "new-data", contentType: "application/json", body: #"{"dataset":"customers"}"#, status: 422,
                message: "field `uri` is missing"),
            Bad(
                path: "new-data", contentType: "application/json", body: "{", status: 422,
                message: "the body is not JSON"),
            Bad(
                path: "old-data", contentType: "application/json", body: "{}", status: 404,
                message: "`old-data` is no event of Naura"),
            Bad(
                path: "model-trained", contentType: "application/json", body: "{}", status: 403,
                message: "`model-trained` is said by train alone"),
            Bad(
                path: "new-data", contentType: "text/plain", body: Self.arrival, status: 415,
                message: "expected the content type application/json"),
        ])
    func refuses(bad: Bad) async throws {
        try await RunningAPI.with { api in
            let answer = try await api.send(
                "/api/v1/events/\(bad.path)", method: "POST", headers: ["content-type": bad.contentType],
                body: bad.body)
            #expect(answer.status == bad.status)
            #expect(try answer.json(as: Refused.self).error.message.hasPrefix(bad.message))
            #expect(try await LedgerOverview.events(in: api.database).isEmpty)
        }
    }

    @Test("a whole CloudEvent keeps its id, source and time")
    func structured() async throws {
        try await RunningAPI.with { api in
            let answer = try await api.send(
                "/api/v1/events/new-data", method: "POST", headers: ["content-type": "application/cloudevents+json"],
                body: #"""
                    {"specversion":"1.0","id":"n-1","source":"/nightly","type":"new-data",
                     "time":"2026-11-24T05:50:49.123456Z","data":\#(Self.arrival)}
                    """#)
            #expect(answer.status == 202)
            let event = try #require(try await LedgerOverview.published("n-1", in: api.database))
            #expect(event.envelope.source == "/nightly")
            #expect(CodableTimes.string(from: event.envelope.time) == "2026-11-24T05:50:49.123456Z")
        }
    }

    @Test("every list answers an array, and status an object")
    func lists() async throws {
        try await RunningAPI.with { api in
            for name in ["events", "runs", "models", "rollouts", "drift"] {
                let answer = try await api.send("/api/v1/\(name)")
                #expect(answer.status == 200)
                #expect(answer.text == "[]\n", "\(name)")
            }
            let status = try await api.send("/api/v1/status").json(as: [String: JSONValue].self)
            #expect(status["workers"] == .array([]))
            #expect(status["database"]?["state"]?.string == "up")
            let refused = try await api.send("/api/v1/runs?limit=many")
            #expect(refused.status == 400)
        }
    }

    @Test("with a token every route wants it; the page takes it once as a parameter, then as a cookie that only reads")
    func token() async throws {
        try await RunningAPI.with(token: "secret-1") { api in
            for path in ["/", "/page.css", "/events", "/api/v1/status"] {
                #expect(try await api.send(path).status == 401, "\(path)")
            }
            let bearer = ["authorization": "Bearer secret-1"]
            #expect(try await api.send("/api/v1/status", headers: bearer).status == 200)
            #expect(try await api.send("/?token=wrong").status == 401)
            let exchange = try await api.send("/?token=secret-1")
            #expect(exchange.status == 303)
            #expect(exchange.headers["location"] == "/")
            let cookie = try #require(exchange.headers["set-cookie"]?.split(separator: ";").first)
            #expect(exchange.headers["set-cookie"]?.contains("HttpOnly") == true)
            #expect(try await api.send("/", headers: ["cookie": String(cookie)]).status == 200)
            let write = try await api.send(
                "/api/v1/events/new-data", method: "POST",
                headers: Self.json.merging(["cookie": String(cookie)]) { first, _ in first }, body: Self.arrival)
            #expect(write.status == 401)
        }
    }

    @Test("off the loopback address a server without a token refuses to exist, and says why")
    func refusesToListen() {
        let refusal = #expect(throws: APIError.self) { try APIConfiguration(host: "0.0.0.0", port: 0, token: nil) }
        #expect(refusal?.message.contains("NAURA_TOKEN") == true)
        #expect(throws: Never.self) { try APIConfiguration(host: "0.0.0.0", port: 0, token: "t") }
    }

    @Test("a request under another name than this machine's is refused while there is no token")
    func rebinding() async throws {
        try await RunningAPI.with { api in
            let answer = try await api.send("/api/v1/status", headers: ["host": "evil.example"])
            #expect(answer.status == 403)
        }
    }

    @Test("the page is whole without script")
    func pageWithoutScript() async throws {
        try await RunningAPI.with { api in
            let page = try await api.send("/")
            #expect(page.status == 200)
            #expect(page.headers["content-security-policy"]?.contains("script-src 'sha256-") == true)
            #expect(page.text.contains(#"<noscript><meta http-equiv="refresh""#))
            for worker in ["validate", "featurize", "train", "promote", "rollout", "serve", "monitor"] {
                #expect(page.text.contains("data-worker=\"\(worker)\""))
            }
            for part in ["status", "loop", "models", "rollouts", "runs", "drift", "workers", "alerts", "recent"] {
                #expect(page.text.contains("id=\"\(part)\""), "\(part)")
                #expect(!page.text.contains("id=\"\(part)\"></div>"), "\(part) is empty")
            }
            #expect(try await api.send("/page.css").headers["content-type"]?.hasPrefix("text/css") == true)
        }
    }
}
