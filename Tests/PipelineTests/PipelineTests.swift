import Foundation
import NauraData
import NauraPostgres
import NauraTestKit
import Testing

@Suite(
    "The whole pipeline", .serialized, .timeLimit(.minutes(10)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct PipelineTests {
    @Test(
        """
        Workers killed at random through a whole run, with a second instance of each, change nothing in the outcome
        """)
    func kills() async throws {
        let data = try SampleData.write()
        defer { data.remove() }
        let calm = try await run(data, instances: 1, seed: nil)
        let stormy = try await run(data, instances: 2, seed: 20)
        #expect(stormy.kills >= 10, "only \(stormy.kills) kills: the run was hardly disturbed")
        for (question, answer) in calm.answers {
            #expect(stormy.answers[question] == answer, "\(question) differs")
        }
        #expect(calm.answers["runs"]?.count == data.files.count)
        #expect(calm.answers["champion"]?.count == 1)
        #expect(calm.answers["dead letters"]?.isEmpty == true)
    }

    private struct Outcome {
        var answers: [String: [String]] = [:]
        var kills = 0
    }

    /// Publishes the files one after another, each when the last one's chain has ended, and reads the tables.
    private func run(_ data: SampleData, instances: Int, seed: UInt64?) async throws -> Outcome {
        try await TestDatabase.withURL { url in
            let system = try await PipelineSystem(databaseURL: url)
            try await system.apply(data.projectFile)
            try system.start(instances: instances)
            let killer = seed.map { seed in Task { try await system.killAtRandom(seed: seed, most: 50) } }
            for (index, file) in data.files.enumerated() {
                try await system.publish(file, dataset: data.dataset)
                guard try await system.waitUntilSettled(file, requests: index + 1, within: .seconds(120)) else {
                    killer?.cancel()
                    let open = try await system.openWork()
                    let logs = system.logs
                    try await system.end()
                    throw PipelineFailure(description: "\(file.lastPathComponent) does not end: \(open)\n\(logs)")
                }
            }
            killer?.cancel()
            // A kill that is under way ends first: its successor must be known when everything is stopped.
            _ = await killer?.result
            var outcome = Outcome(answers: try await system.answers(), kills: system.kills)
            outcome.answers["balance"] = try await system.balances().filter { $0.said != $0.counted }.map {
                "\($0.stage): \($0.counted) of \($0.said)"
            }
            let codes = try await system.end()
            #expect(codes.allSatisfy { $0 == 0 }, "a worker did not end in order: \(codes)")
            return outcome
        }
    }
}

struct PipelineFailure: Error, CustomStringConvertible {
    let description: String
}

extension PipelineSystem {
    /// What the tables say, in rows of text that do not depend on when it happened.
    func answers() async throws -> [String: [String]] {
        var answers: [String: [String]] = [:]
        for (name, select) in Self.questions { answers[name] = try await rows(select) }
        return answers
    }

    private static let questions: [(name: String, select: String)] = [
        (
            "runs",
            """
            select r.model || ' ' || r.training_set || ' ' || r.digest as line from naura.run r
            where r.state = 'finished' order by r.request_id
            """
        ),
        (
            "requests",
            "select model || ' ' || state || ' ' || coalesce(training_set, '') as line from naura.training_request order by id"
        ),
        (
            "champion",
            "select a.model || ' ' || a.version || ' ' || v.digest as line from naura.model_alias a join naura.model_version v using (model, version) where a.alias = 'champion' order by 1"
        ),
        (
            "versions",
            "select model || ' ' || version || ' ' || digest || ' ' || state as line from naura.model_version order by model, version"
        ),
        (
            "evaluations",
            "select model || ' ' || version || ' ' || verdict || ' ' || metric || ' ' || coalesce(candidate_score::text, '') as line from naura.evaluation order by model, version"
        ),
        (
            "rollouts",
            "select model || ' ' || version || ' ' || state || ' ' || weight as line from naura.rollout order by model, version"
        ),
        (
            "snapshots",
            "select dataset || ' ' || number || ' ' || sha256 || ' ' || state || ' ' || rows as line from naura.snapshot order by dataset, number"
        ),
        (
            "feature rows",
            """
            select v.name || ' ' || count(*) || ' ' || md5(string_agg(concat_ws('|', f.entity_key, f.event_at, f.number,
                f.row_number, f.numbers, f.texts), ';' order by f.entity_key, f.event_at, f.number, f.row_number)) as line
            from naura.feature_row f join naura.feature_view v on v.id = f.view_id group by v.name order by v.name
            """
        ),
        (
            "online rows",
            """
            select v.name || ' ' || count(*) || ' ' || md5(string_agg(concat_ws('|', f.entity_key, f.event_at, f.number,
                f.row_number, f.numbers, f.texts), ';' order by f.entity_key)) as line
            from naura.online_row f join naura.feature_view v on v.id = f.view_id group by v.name order by v.name
            """
        ),
        (
            "labels",
            """
            select dataset || ' ' || column_name || ' ' || count(*) || ' ' || md5(string_agg(concat_ws('|', entity_key,
                event_at, number, row_number, label), ';' order by entity_key, event_at, number, row_number)) as line
            from naura.label_row group by dataset, column_name order by dataset, column_name
            """
        ),
        (
            "events",
            "select type || ' ' || subject || ' ' || count(*) || ' ' || count(distinct event_id) as line from ledger.outbox group by type, subject order by 1"
        ),
        (
            "chain",
            "select event_id || ' ' || coalesce(cause_id, '') as line from ledger.outbox where type in ('new-data', 'data-validated', 'features-ready') order by 1"
        ),
        (
            "notifications",
            "select channel || ' ' || subject || ' ' || (sent_at is not null) as line from naura.notification order by 1"
        ),
        ("dead letters", "select stage || ' ' || code || ' ' || message as line from ledger.dead_letter order by 1"),
    ]

    private func rows(_ select: String) async throws -> [String] {
        try await database.query(.init(stringLiteral: select)).map { try $0.get("line", as: String.self) }
    }
}
