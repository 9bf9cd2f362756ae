import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraTestKit
import Testing

/// Commands that write and read the database, as a user calls them; no worker runs.
@Suite(
    "The command line on a database",
    .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL, or NAURA_TEST_DATABASE_URL"))
struct LedgerCommandTests {
    @Test("apply lists all faults of a broken file with their lines, applies nothing and ends with 1")
    func brokenProject() async throws {
        try await Program.withDatabase { naura, database in
            try naura.write(
                """
                project: shop
                datasets:
                  customers:
                    key: id
                    contract: contracts/none.yaml
                    colour: blue
                models:
                  churn:
                    label: { dataset: custommers, column: churn }
                    features: [profile]
                    holdout: 200%
                """, to: "naura.yaml")
            let result = try await naura("apply")
            #expect(result.code == 1)
            #expect(result.output.isEmpty)
            let faults = result.errors.split(separator: "\n")
            #expect(faults.last?.hasSuffix("faults; nothing was applied") == true)
            for (line, word) in [(5, "none.yaml"), (6, "colour"), (9, "custommers"), (10, "profile"), (11, "holdout")] {
                #expect(
                    faults.contains { $0.contains("naura.yaml:\(line)") && $0.contains(word) },
                    "\(line): \(result.errors)")
            }
            #expect(try await count("naura.project_version", database) == 0)
            #expect(try await count("naura.dataset", database) == 0)
            let none = try await naura("apply", "no-such.yaml")
            #expect(none.code == 1 && none.errors.contains("no-such.yaml"))
        }
    }

    @Test(
        "publish prints the id once it is safe; the same id twice is one event; a body that breaks its schema is none")
    func publish() async throws {
        try await Program.withDatabase { naura, database in
            let first = try await naura("publish", "new-data", "--dataset", "d", "--uri", "a b.csv", "--id", "one")
            #expect(first.code == 0 && first.output == "one\n")
            let again = try await naura("publish", "new-data", "--dataset", "d", "--uri", "a b.csv", "--id", "one")
            #expect(again.code == 0 && again.output == "one\n" && again.errors.contains("published before"))
            #expect(try await count("ledger.outbox", database) == 1)
            let bad = try await naura("publish", "new-data", "--json", #"{"dataset":"d"}"#)
            #expect(bad.code == 1 && bad.errors.contains("uri") && bad.output.isEmpty)
            let noJSON = try await naura("publish", "ground-truth", "--json", "{")
            #expect(noJSON.code == 1)
            let noFile = try await naura("publish", "ground-truth", "--json", "@none.json")
            #expect(noFile.code == 1 && noFile.errors.contains("none.json"))
            #expect(try await count("ledger.outbox", database) == 1)

            let events = try await naura("events", "--json").array()
            #expect(events.map { $0["id"] as? String } == ["one"])
            for key in ["id", "type", "subject", "time", "cause_id", "root_id"] { #expect(events[0][key] != nil) }
            #expect(events[0]["cause_id"] is NSNull && events[0]["root_id"] as? String == "one")
            let unknown = try await naura("retrain", "nobody", "--reason", "why not")
            #expect(unknown.code == 1 && unknown.errors.contains("no model nobody"))
        }
    }

    @Test("a command that meets a database without its tables says that they are to be migrated first")
    func olderTables() async throws {
        try await TestDatabase.withURL(isEmpty: true) { url in
            try await Program.with(["NAURA_DATABASE_URL": url]) { naura in
                let refused = try await naura("publish", "new-data", "--dataset", "d", "--uri", "a.csv")
                #expect(refused.code == 1 && refused.errors.contains("run naura migrate first"), "\(refused.errors)")
                #expect(try await naura("migrate").code == 0)
                #expect(try await naura("publish", "new-data", "--dataset", "d", "--uri", "a.csv").code == 0)
            }
        }
    }

    @Test("wait ends with 0 for what concerns nobody, with 3 for what was rejected, with 4 for what does not end")
    func wait() async throws {
        try await Program.withDatabase { naura, database in
            func published(_ id: String) async throws -> EncodedEvent {
                let result = try await naura(
                    "publish", "code-merged", "--repository", "a/b", "--commit", "4be1f09", "--id", id)
                #expect(result.code == 0, "\(result.errors)")
                return try #require(try await LedgerOverview.published(EventID(rawValue: id), in: database))
            }
            let idle = try await published("idle")
            let key = InboxKey(idle.envelope)
            try await Inbox.ensure(days: [key.day], in: database)
            try await database.transaction { transaction in
                _ = try await Inbox.claim([key], for: "train-code-merged", in: transaction)
            }
            let nothing = try await naura("wait", "idle", "--timeout", "20s")
            #expect(nothing.code == 0 && nothing.output.contains("concerns no model"), "\(nothing.output)")

            let refused = try await published("refused")
            try await DeadLetters.fileForTests(refused, code: "rejected", message: "the reason", in: database)
            let rejected = try await naura("wait", "refused", "--timeout", "20s")
            #expect(rejected.code == 3 && rejected.output.contains("the reason"), "\(rejected.output)")

            _ = try await published("open")
            let late = try await naura("wait", "open", "--timeout", "300ms")
            #expect(late.code == 4 && late.output.contains("timed out"))
            let unknown = try await naura("wait", "never-published", "--timeout", "300ms")
            #expect(unknown.code == 4)
        }
    }

    @Test("dlq lists, shows, redrives once and drops on record, each with an exit code that says how it went")
    func deadLetters() async throws {
        try await Program.withDatabase { naura, database in
            #expect(try await naura("dlq", "list", "--json").output == "[]\n")
            let event = try EncodedEvent(
                NewData(dataset: "one", uri: "file:///x.csv"), id: "e1", source: "/naura/cli", time: Date())
            try await DeadLetters.fileForTests(event, code: "rejected", message: "no such file", in: database)
            try await database.transaction { transaction in
                _ = try await DeadLetters.file(
                    DeadLetterRow(
                        stage: "probe", eventID: nil, rootID: nil, topic: "new-data", partition: 1, offset: 7,
                        body: Array("hello".utf8), code: "not-an-event", message: "no headers", tries: 1),
                    in: transaction)
            }
            let list = try await naura("dlq", "list", "--json").array()
            #expect(list.map { $0["id"] as? Int } == [1, 2])
            for key in ["stage", "topic", "event_id", "state", "failures", "code", "message", "tries", "failed_at"] {
                #expect(list.allSatisfy { $0[key] != nil }, "\(key)")
            }
            #expect(list[1]["event_id"] is NSNull && list[0]["state"] as? String == "open")
            #expect(try await naura("dlq", "show", "2", "--body").output == "hello")
            let shown = try await naura("dlq", "show", "1", "--json").object()
            #expect(shown["is_settled"] as? Bool == false && (shown["history"] as? [Any])?.isEmpty == true)
            #expect(try await naura("dlq", "show", "9").code == 1)

            let redriven = try await naura("dlq", "redrive", "1")
            #expect(redriven.code == 0 && redriven.output.contains("event e1 is on its way again"), "\(redriven)")
            let again = try await naura("dlq", "redrive", "1")
            #expect(again.code == 0 && again.output.contains("redriven already"), "\(again)")
            #expect(try await count("ledger.outbox where event_id = 'e1'", database) == 1)
            let refused = try await naura("dlq", "redrive", "--all")
            #expect(refused.code == 1 && refused.errors.contains("no readable event"), "\(refused)")
            let dropped = try await naura("dlq", "drop", "2", "--reason", "a test", "--json").array()
            #expect(dropped.count == 1 && dropped[0]["outcome"] as? String == "dropped")
            #expect(try await naura("dlq", "redrive", "--since", "1h").output.contains("no open dead letter"))
            #expect(try await naura("dlq", "drop", "1", "--reason", "a test").code == 1)
            #expect(
                try await naura("dlq", "list", "--state", "dropped", "--json").array().map { $0["reason"] as? String }
                    == ["a test"])
            #expect(try await count("naura.action where verb in ('redrive', 'drop')", database) == 2)
            #expect(try await count("ledger.dead_letter_decision where actor like '%@%'", database) == 2)
        }
    }

    @Test("a redriven job waits again with no try counted, and wait follows it")
    func redrivenJob() async throws {
        try await Program.withDatabase { naura, database in
            let merged = try await naura(
                "publish", "code-merged", "--repository", "a/b", "--commit", "4be1f09", "--id", "merged")
            #expect(merged.code == 0, "\(merged.errors)")
            try await database.update(
                """
                insert into ledger.job
                    (kind, key, about, arguments, state, tries, ended_at, failure_message, cause_id, root_id)
                values ('train', 'churn', 'churn/1', '{"model": "churn"}', 'failed', 4, now(), 'the disk is full',
                    'merged', 'merged')
                """)
            let failed = try await naura("wait", "merged", "--timeout", "20s")
            #expect(failed.code == 3 && failed.output.contains("the disk is full"), "\(failed.output)")
            try await database.transaction { transaction in
                _ = try await DeadLetters.file(
                    DeadLetterRow(
                        stage: "train", eventID: nil, rootID: nil, key: Array("churn".utf8),
                        headers: [("about", Array("churn/1".utf8))], body: Array(#"{"model": "churn"}"#.utf8),
                        code: "failed", message: "the disk is full", tries: 5), in: transaction)
            }
            let redriven = try await naura("dlq", "redrive", "1")
            #expect(redriven.code == 0 && redriven.output.contains("job 1 waits again"), "\(redriven)")
            #expect(try await count("ledger.job where state = 'waiting' and tries = 0", database) == 1)
            let waits = try await naura("wait", "merged", "--timeout", "300ms")
            #expect(waits.code == 4, "\(waits.output)")
        }
    }
}

func count(_ table: String, _ database: Database) async throws -> Int {
    try await database.first(Query(stringLiteral: "select count(*) as n from \(table)"))?.get("n") ?? -1
}

extension DeadLetters {
    /// Files the failure of `event` at the stage `probe`.
    static func fileForTests(
        _ event: EncodedEvent, code: String, message: String, in database: Database
    ) async throws {
        let letter = DeadLetterRow(
            stage: "probe", eventID: event.envelope.id, rootID: event.envelope.rootID,
            topic: event.envelope.type.rawValue, key: Array(event.envelope.subject.utf8), headers: event.headers,
            body: event.body, code: code, message: message, tries: 5)
        try await database.transaction { _ = try await file(letter, in: $0) }
    }
}
