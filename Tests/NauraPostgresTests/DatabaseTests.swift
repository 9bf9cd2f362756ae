import Foundation
import Logging
import NauraProcess
import NauraTestKit
import Testing

@testable import NauraPostgres

@Suite(.enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct DatabaseTests {
    @Test("a pool never opens more sessions than it may, and everyone gets a turn")
    func limit() async throws {
        try await TestDatabase.with(connectionsMax: 3) { database in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<40 {
                    group.addTask {
                        try await database.transaction { transaction in
                            let row = try await transaction.first(
                                """
                                select count(*) as n from pg_stat_activity
                                where datname = current_database() and application_name = 'naura test'
                                """)
                            return try row?.get("n") ?? 0
                        }
                    }
                }
                for try await count in group { #expect(count <= 3) }
            }
        }
    }

    @Test("a task that is cancelled while it waits for a session leaves the line, and the session is not lost")
    func cancelledWaiter() async throws {
        try await TestDatabase.with(connectionsMax: 1) { database in
            try await database.transaction { _ in
                let waiter = Task { try await database.query("select 1") }
                waiter.cancel()
                await #expect(throws: CancellationError.self) { try await waiter.value }
            }
            #expect(try await database.query("select 1").count == 1)
        }
    }

    @Test("a task that is cancelled while its statement runs ends at once, and the server stops too")
    func cancelledStatement() async throws {
        try await TestDatabase.with(connectionsMax: 1) { database in
            let gate = Gate(2)
            let sleeper = Task {
                try await database.transaction { transaction in
                    _ = try await transaction.query("select 1")
                    await gate.arrive()
                    _ = try await transaction.query("select pg_sleep(600)")
                }
            }
            await gate.arrive()
            sleeper.cancel()
            await #expect(throws: CancellationError.self) { try await sleeper.value }
            let row = try #require(
                try await database.first(
                    """
                    select count(*) as n from pg_stat_activity
                    where datname = current_database() and query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()
                    """))
            #expect(try row.get("n") == 0)
        }
    }

    @Test("a session killed inside a transaction is a transient error, and the next transaction has a new one")
    func killedInside() async throws {
        try await TestDatabase.withURL { url in
            let database = Database(url: url, connectionsMax: 1, applicationName: "victim", logger: Logger(label: "t"))
            let killer = Database(url: url, connectionsMax: 1, applicationName: "killer", logger: Logger(label: "t"))
            let fault = await #expect(throws: PostgresError.self) {
                try await database.transaction { transaction in
                    let pid: Int = try #require(try await transaction.first("select pg_backend_pid() as pid")).get(
                        "pid")
                    try await killer.update("select pg_terminate_backend(\(Int32(pid)), 5000)")
                    _ = try await transaction.query("select 1")
                }
            }
            #expect(fault?.isTransient == true)
            let rows = try await database.query("select 1")
            #expect(rows.count == 1)
            await database.close()
            await killer.close()
        }
    }

    @Test("sessions killed while they rest are replaced before anyone notices")
    func killedAtRest() async throws {
        try await TestDatabase.withURL { url in
            let database = Database(url: url, connectionsMax: 2, applicationName: "victim", logger: Logger(label: "t"))
            let killer = Database(url: url, connectionsMax: 1, applicationName: "killer", logger: Logger(label: "t"))
            for _ in 0..<3 {
                #expect(try await database.query("select 1").count == 1)
                try await killer.update(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'victim'")
            }
            #expect(try await database.query("select 1").count == 1)
            await database.close()
            await killer.close()
        }
    }

    @Test("a server that is away is a transient error, and waiting for it has an end")
    func away() async throws {
        let database = Database(
            url: "postgresql://naura@127.0.0.1:\(try FreePort.choose())/x", applicationName: "test",
            logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
        let fault = await #expect(throws: PostgresError.self) { try await database.query("select 1") }
        #expect(fault?.code == .cannotConnect)
        #expect(fault?.isTransient == true)
        await #expect(throws: PostgresError.self) {
            try await database.waitUntilAvailable(timeout: .milliseconds(100))
        }
    }

    @Test("a wrong password and an address that cannot be read are not waited for")
    func refused() async throws {
        try await TestDatabase.withURL { url in
            var parts = try #require(URLComponents(string: url))
            parts.password = "wrong"
            for address in [try #require(parts.string), "postgresql://[", "nonsense=1"] {
                let database = Database(url: address, applicationName: "test", logger: Logger(label: "t"))
                let fault = await #expect(throws: PostgresError.self) { try await database.waitUntilAvailable() }
                #expect(fault?.isTransient == false)
            }
        }
    }

    @Test("a table that is made anew under a prepared statement costs one transient error")
    func stalePlan() async throws {
        try await TestDatabase.with(connectionsMax: 1) { database in
            try await database.update("create table item (id int8)")
            _ = try await database.query("select * from item limit 1")
            try await database.update("alter table item add column name text")
            let fault = await #expect(throws: PostgresError.self) {
                _ = try await database.query("select * from item limit 1")
            }
            #expect(fault?.isTransient == true)
            #expect(try await database.query("select * from item limit 1").isEmpty)
        }
    }

    @Test("a closed database refuses, and who waits in line is told")
    func closed() async throws {
        try await TestDatabase.withURL { url in
            let database = Database(url: url, connectionsMax: 1, applicationName: "test", logger: Logger(label: "t"))
            try await database.transaction { _ in
                let waiter = Task { try await database.query("select 1") }
                await database.close()
                let fault = await #expect(throws: PostgresError.self) { try await waiter.value }
                #expect(fault?.code == .databaseClosed)
            }
            await #expect(throws: PostgresError.self) { try await database.query("select 1") }
        }
    }
}

@Suite(.enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct ListenerTests {
    @Test("notifications arrive when their transaction commits, equal ones once, and ticks come without them")
    func hears() async throws {
        try await TestDatabase.with { database in
            var heard: [Notice] = []
            for await notice in database.listen(["naura_test"]) {
                switch notice {
                case .connected:
                    try await database.transaction { transaction in
                        try await transaction.notify("naura_test", "a")
                        try await transaction.notify("naura_test", "a")
                        try await transaction.notify("naura_test", "b")
                    }
                case .notified: heard.append(notice)
                case .tick: break
                }
                if notice == .tick, heard.count >= 2 { break }
            }
            #expect(
                heard == [
                    .notified(channel: "naura_test", payload: "a"), .notified(channel: "naura_test", payload: "b"),
                ])
        }
    }

    @Test("a listener whose session is killed connects again, says so, and hears")
    func reconnects() async throws {
        try await TestDatabase.withURL { url in
            let quiet = Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }
            let database = Database(url: url, applicationName: "hearing", logger: quiet)
            var connections = 0
            var hasHeard = false
            for await notice in database.listen(["naura_test"]) {
                switch notice {
                case .connected:
                    connections += 1
                    if connections == 1 {
                        try await database.update(
                            """
                            select pg_terminate_backend(pid, 5000) from pg_stat_activity
                            where application_name = 'hearing listen'
                            """)
                    } else {
                        try await database.transaction { try await $0.notify("naura_test") }
                    }
                case .notified: hasHeard = true
                case .tick: break
                }
                if hasHeard { break }
            }
            #expect(connections == 2)
            await database.close()
        }
    }
}
