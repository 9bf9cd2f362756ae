import Foundation
import NauraPostgres
import NauraTestKit
import Testing

@Suite(.enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct MigratorTests {
    private let first = (
        name: "migrations/m0901-first.sql", text: "create schema other; create table other.a (id int8);"
    )
    private let second = (
        name: "migrations/m0902-second.sql", text: "create table other.b (id int8);\ninsert into other.b values (1);"
    )

    /// The files that made the test database stay known, else their absence would be refused.
    private func migrator(_ files: [(name: String, text: String)]) -> Migrator {
        Migrator(files: TestDatabase.migrations + files)
    }

    @Test("each file runs once, in the order of names")
    func runsOnce() async throws {
        try await TestDatabase.with { database in
            let migrator = migrator([second, first, (name: "new-data.v1.json", text: "{}")])
            let pending = try await migrator.pending(on: database)
            #expect(pending == ["m0901-first.sql", "m0902-second.sql"])
            #expect(try await migrator.run(on: database) == ["m0901-first.sql", "m0902-second.sql"])
            #expect(try await migrator.run(on: database).isEmpty)
            #expect(try await migrator.pending(on: database).isEmpty)
            #expect(try await database.query("select id from other.b limit 9").count == 1)
        }
    }

    @Test("a file that was edited, is gone, or came late in front is refused and nothing changes")
    func refusesEdits() async throws {
        try await TestDatabase.with { database in
            _ = try await migrator([second]).pending(on: database)
            try await database.update("create schema other")
            #expect(try await migrator([second]).run(on: database) == ["m0902-second.sql"])
            let edited = (name: second.name, text: second.text + " ")
            let third = (name: "m0903-third.sql", text: "create table other.c (id int8)")
            for files in [[edited, third], [third], [first, second, third]] {
                let fault = await #expect(throws: PostgresError.self) {
                    _ = try await migrator(files).run(on: database)
                }
                #expect(fault?.code == .migrationChanged)
            }
            let row = try #require(try await database.first("select to_regclass('other.c') is null as absent"))
            #expect(try row.get("absent"))
        }
    }

    @Test("a file that fails is named, and none of the files of that run is applied")
    func failsWhole() async throws {
        try await TestDatabase.with { database in
            let broken = (name: "m0903-broken.sql", text: "create table other.c (id int8); select nonsense;")
            let fault = await #expect(throws: PostgresError.self) {
                _ = try await migrator([first, second, broken]).run(on: database)
            }
            #expect(fault?.message.hasPrefix("m0903-broken.sql: ") == true)
            let row = try #require(try await database.first("select to_regnamespace('other') is null as absent"))
            #expect(try row.get("absent"))
        }
    }

    @Test("two that migrate at once apply each file once")
    func concurrent() async throws {
        try await TestDatabase.with { database in
            let migrator = migrator([first, second])
            async let left = migrator.run(on: database)
            async let right = migrator.run(on: database)
            let counts = try await [left.count, right.count].sorted()
            #expect(counts == [0, 2])
        }
    }
}
