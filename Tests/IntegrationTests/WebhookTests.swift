import Crypto
import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore
import NauraTestKit
import Testing

@testable import NauraAPI
@testable import train

@Suite("Webhooks of a code host")
struct GitHubDeliveryTests {
    /// A body as GitHub sends it, with `changes` made to its text.
    static func fixture(_ name: String, _ changes: [String: String] = [:]) throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/github")
        let text = try String(contentsOf: folder.appending(path: "\(name).json"), encoding: .utf8)
        return changes.reduce(text) { text, change in
            precondition(text.contains(change.key), "\(name) has no \(change.key)")
            return text.replacing(change.key, with: change.value)
        }
    }

    private func read(_ kind: String, _ name: String, _ changes: [String: String] = [:]) throws -> GitHubDelivery {
        try GitHubDelivery(kind: kind, body: Data(Self.fixture(name, changes).utf8))
    }

    private func merged(_ delivery: GitHubDelivery) throws -> CodeMerged {
        guard case .merged(let merged, _) = delivery else { throw HarnessError(description: "\(delivery)") }
        return merged
    }

    @Test("a push says repository, ref, commit, author, time, and the paths of all its commits once each")
    func push() throws {
        let merged = try merged(read("push", "push"))
        #expect(
            merged
                == CodeMerged(
                    repository: "acme/churn", commit: "6dcb09b5b57875f334f61aebed695e2e4193db5e",
                    ref: "refs/heads/main",
                    paths: ["README.md", "churn/buckets.py", "churn/features.sql", "churn/old.py"], author: "maha",
                    mergedAt: CodableTimes.date(from: "2026-11-24T05:50:49Z")))
    }

    @Test("a merged pull request says the same commit of the same branch, and no paths")
    func pullRequest() throws {
        let merged = try merged(read("pull_request", "pull-request-merged"))
        #expect(merged.repository == "acme/churn")
        #expect(merged.commit == "6dcb09b5b57875f334f61aebed695e2e4193db5e")
        #expect(merged.ref == "refs/heads/main")
        #expect(merged.paths.isEmpty)
        #expect(merged.author == "maha")
    }

    @Test("a push whose list of changes may not be whole says no paths, so that no training is skipped")
    func incomplete() throws {
        #expect(try merged(read("push", "push", [#""forced": false"#: #""forced": true"#])).paths.isEmpty)
        #expect(try merged(read("push", "push", [#""removed": [],"#: ""])).paths.isEmpty)
        let long = String(repeating: "x", count: 400_001)
        #expect(try merged(read("push", "push", ["churn/buckets.py": long])).paths.isEmpty)
    }

    @Test("a branch that is forced back to an earlier commit is told apart from the first arrival there")
    func forced() throws {
        let first = try read("push", "push")
        let back = try read("push", "push", [#""forced": false"#: #""forced": true"#])
        guard case .merged(_, let one) = first, case .merged(_, let other) = back else {
            Issue.record("\(first) \(back)")
            return
        }
        #expect(one != other)
        #expect(other.contains("7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"))
    }

    @Test("a deleted branch, a tag, a pull request closed or opened, a ping and other events merge nothing")
    func ignored() throws {
        let deliveries = [
            try read("push", "push-deletes-branch"),
            try read("push", "push", ["refs/heads/main": "refs/tags/v1"]),
            try read("pull_request", "pull-request-closed"),
            try read("pull_request", "pull-request-merged", [#""action": "closed""#: #""action": "labeled""#]),
            try read("ping", "ping"), try GitHubDelivery(kind: "issues", body: Data("{}".utf8)),
        ]
        for delivery in deliveries {
            guard case .ignored(let reason) = delivery else {
                Issue.record("\(delivery)")
                continue
            }
            #expect(!reason.isEmpty)
        }
    }

    @Test("a secret is read from a file without its line's end, and is never printed")
    func secretFile() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "naura-secret-\(UUID().uuidString)")
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: file) } }
        try Data("It's a Secret to Everybody\r\n".utf8).write(to: file)
        let secret = try WebhookSecret(file: file.path)
        // The example of GitHub's own documentation.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        #expect(secret.signed(Data("Hello, World!".utf8), as: signature))
        #expect(!secret.signed(Data("Hello, World?".utf8), as: signature))
        #expect(!"\(secret)".contains("Secret to Everybody"))
        try Data("\n".utf8).write(to: file)
        #expect(throws: APIError.self) { try WebhookSecret(file: file.path) }
        #expect(throws: APIError.self) { try WebhookSecret(file: file.path + "-absent") }
    }
}

@Suite("The webhook's route", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct WebhookTests {
    private static let secret = "It's a Secret to Everybody"

    struct Told: Decodable {
        let id: String?
        let repeated: Bool?
        let ignored: String?
    }

    private func deliver(
        _ body: String, kind: String = "push", delivery: String = UUID().uuidString, signature: String? = nil,
        to api: RunningAPI
    ) async throws -> RunningAPI.Answer {
        let code = HMAC<SHA256>.authenticationCode(
            for: Data(body.utf8), using: SymmetricKey(data: Data(Self.secret.utf8)))
        let right = "sha256=" + code.map { String(format: "%02x", $0) }.joined()
        var headers = [
            "content-type": "application/json", "user-agent": "GitHub-Hookshot/044aadd", "x-github-event": kind,
            "x-github-delivery": delivery, "x-github-hook-id": "109948940",
            // A tunnel leaves the name by which the code host knows it; that is no business of this route.
            "host": "naura.acme.example",
        ]
        headers["x-hub-signature-256"] = signature ?? right
        return try await api.send("/api/v1/webhooks/github", method: "POST", headers: headers, body: body)
    }

    private func merges(in database: Database) async throws -> [CodeMerged] {
        try await said(CodeMerged.self, in: database)
    }

    @Test(
        "a signed push becomes one code-merged event; the same delivery again, and the same commit again, start nothing"
    )
    func once() async throws {
        try await RunningAPI.with(token: "secret-1", webhookSecret: Self.secret) { api in
            let push = try GitHubDeliveryTests.fixture("push")
            let first = try await deliver(push, delivery: "d-1", to: api)
            #expect(first.status == 202)
            let id = try #require(try first.json(as: Told.self).id)
            let again = try await deliver(push, delivery: "d-1", to: api)
            #expect(again.status == 200)
            #expect(try again.json(as: Told.self).id == id)
            #expect(try again.json(as: Told.self).repeated == true)
            let other = try await deliver(push, delivery: "d-2", to: api)
            #expect(try other.json(as: Told.self).repeated == true)
            let request = try await deliver(
                try GitHubDeliveryTests.fixture("pull-request-merged"), kind: "pull_request", to: api)
            #expect(try request.json(as: Told.self).id == id)
            let told = try await merges(in: api.database)
            #expect(told.map(\.commit) == ["6dcb09b5b57875f334f61aebed695e2e4193db5e"])
            let event = try #require(try await LedgerOverview.published(EventID(id), in: api.database))
            #expect(event.envelope.traceparent.map(Traceparent.isValid) == true)
        }
    }

    @Test("twenty deliveries of one push at the same moment make one event")
    func race() async throws {
        try await RunningAPI.with(webhookSecret: Self.secret) { api in
            let push = try GitHubDeliveryTests.fixture("push")
            let fresh = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<20 {
                    group.addTask { try await deliver(push, to: api).json(as: Told.self).repeated == false }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(fresh == 1)
            #expect(try await merges(in: api.database).count == 1)
        }
    }

    @Test("a wrong, malformed or missing signature is 401, and nothing happens")
    func signature() async throws {
        try await RunningAPI.with(webhookSecret: Self.secret) { api in
            let push = try GitHubDeliveryTests.fixture("push")
            let wrong = "sha256=" + String(repeating: "0", count: 64)
            for signature in [wrong, "sha256=", "sha1=\(String(repeating: "0", count: 40))", "", wrong + "0"] {
                let answer = try await deliver(push, signature: signature, to: api)
                #expect(answer.status == 401, "\(signature)")
                #expect(answer.text.contains("bad-signature"))
                #expect(!answer.text.contains(Self.secret))
            }
            let missing = try await api.send(
                "/api/v1/webhooks/github", method: "POST",
                headers: ["content-type": "application/json", "x-github-event": "push"], body: push)
            #expect(missing.status == 401)
            #expect(try await merges(in: api.database).isEmpty)
        }
    }

    @Test("the token opens every other route and is not enough for this one; the signature opens no other")
    func token() async throws {
        try await RunningAPI.with(token: "secret-1", webhookSecret: Self.secret) { api in
            let push = try GitHubDeliveryTests.fixture("push")
            let bearer = ["authorization": "Bearer secret-1", "content-type": "application/json"]
            let unsigned = try await api.send(
                "/api/v1/webhooks/github", method: "POST", headers: bearer, body: push)
            #expect(unsigned.status == 401)
            #expect(try await api.send("/api/v1/webhooks/github").status == 401)
            #expect(try await api.send("/api/v1/webhooks/gitlab", method: "POST", body: push).status == 401)
            #expect(try await api.send("/api/v1/status").status == 401)
        }
    }

    @Test("without a configured secret the route is shut, and says how to configure it")
    func unconfigured() async throws {
        try await RunningAPI.with { api in
            let answer = try await deliver(try GitHubDeliveryTests.fixture("push"), to: api)
            #expect(answer.status == 503)
            #expect(answer.text.contains("NAURA_WEBHOOK_SECRET_FILE"))
            #expect(try await merges(in: api.database).isEmpty)
        }
    }

    @Test("a ping, and what merges nothing, is answered with 200 and a reason; what is no event of its kind with 422")
    func others() async throws {
        try await RunningAPI.with(webhookSecret: Self.secret) { api in
            for (kind, name) in [
                ("ping", "ping"), ("push", "push-deletes-branch"), ("pull_request", "pull-request-closed"),
                ("issues", "ping"),
            ] {
                let answer = try await deliver(try GitHubDeliveryTests.fixture(name), kind: kind, to: api)
                #expect(answer.status == 200, "\(name)")
                #expect(try answer.json(as: Told.self).ignored?.isEmpty == false)
            }
            #expect(try await deliver(#"{"ref":"refs/heads/main"}"#, to: api).status == 422)
            let odd = try GitHubDeliveryTests.fixture(
                "push", [#""6dcb09b5b57875f334f61aebed695e2e4193db5e""#: #""HEAD""#])
            #expect(try await deliver(odd, to: api).status == 422)
            #expect(try await merges(in: api.database).isEmpty)
        }
    }

    @Test("a body over the limit is refused with 413")
    func tooLong() async throws {
        try await RunningAPI.with(webhookSecret: Self.secret) { api in
            let answer = try await deliver(String(repeating: " ", count: WebhookRoute.bodyBytesMax + 1), to: api)
            #expect(answer.status == 413)
        }
    }

    @Test(
        "a push to a ref or path that concerns no model ends as nothing to do; one that concerns it asks for a training"
    )
    func concerns() async throws {
        try await RunningAPI.with(webhookSecret: Self.secret) { api in
            var model = TrainFixture.model
            model.code = CodeScope(repository: "acme/churn", ref: "refs/heads/main", paths: ["churn/**"])
            model.retrain.on = [.codeMerged]
            let project = ProjectDefinition(
                name: "churn", datasets: ["customers": DatasetDefinition(name: "customers", key: "customerid")],
                featureViews: Dictionary(uniqueKeysWithValues: TrainFixture.views.map { ($0.name, $0) }),
                models: ["churn": model])
            try await api.database.transaction {
                _ = try await Projects.apply(project, sha256: "one", source: "", by: "test", in: $0)
            }
            let elsewhere = [
                try GitHubDeliveryTests.fixture("push", ["refs/heads/main": "refs/heads/next"]),
                try GitHubDeliveryTests.fixture("push", ["churn/": "docs/"]),
                try GitHubDeliveryTests.fixture("push", ["acme/churn": "acme/fraud"]),
            ]
            // Commits of their own: three pushes of one commit to one branch are one event.
            for (place, push) in elsewhere.enumerated() {
                let own = push.replacing("6dcb09b5", with: "6dcb09b\(place)")
                #expect(try await deliver(own, to: api).status == 202)
            }
            for merge in try await merges(in: api.database) {
                let handled = try await handle(merge, by: FoldMergedCode(), in: api.database)
                #expect(handled.isNew)
                #expect(handled.jobs.isEmpty)
            }
            #expect(try await deliver(try GitHubDeliveryTests.fixture("push"), to: api).status == 202)
            let merge = try #require(try await merges(in: api.database).last)
            #expect(try await handle(merge, by: FoldMergedCode(), in: api.database).jobs.count == 1)
        }
    }
}
