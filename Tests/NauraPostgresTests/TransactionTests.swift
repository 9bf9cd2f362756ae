import Foundation
import Logging
import NauraPostgres
import NauraTestKit
import Testing

@Suite(.enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct TransactionTests {
    @Test("what a transaction queued is there after its commit")
    func commits() async throws {
        try await TestDatabase.with { database in
            try await database.update("create table item (id int8 primary key, name text)")
            try await database.transaction { transaction in
                for id in 0..<10 {
                    try await transaction.execute("insert into item (id, name) values (\(id), \("n\(id)"))")
                }
            }
            let rows = try await database.query("select id, name from item order by id limit 100")
            #expect(try rows.map { try $0.get("id", as: Int.self) } == Array(0..<10))
            #expect(try rows[3].get("name", as: String.self) == "n3")
        }
    }

    @Test("an error thrown in the closure leaves nothing behind, and the session serves the next transaction")
    func rollsBack() async throws {
        struct Stop: Error {}
        try await TestDatabase.with(connectionsMax: 1) { database in
            try await database.update("create table item (id int8 primary key)")
            await #expect(throws: Stop.self) {
                try await database.transaction { transaction in
                    try await transaction.execute("insert into item (id) values (\(1))")
                    #expect(try await transaction.query("select id from item limit 9").count == 1)
                    try await transaction.execute("insert into item (id) values (\(2))")
                    throw Stop()
                }
            }
            #expect(try await database.query("select id from item limit 9").isEmpty)
        }
    }

    @Test("a queued statement's failure surfaces at the commit, names the statement and is not transient")
    func surfacesAtCommit() async throws {
        try await TestDatabase.with(connectionsMax: 1) { database in
            try await database.update("create table item (id int8 primary key)")
            let fault = await #expect(throws: PostgresError.self) {
                try await database.transaction { transaction in
                    for id in [1, 2, 1] { try await transaction.execute("insert into item (id) values (\(id))") }
                }
            }
            #expect(fault?.sqlState == "23505")
            #expect(fault?.isTransient == false)
            #expect(fault?.statement == "insert into item (id) values ($1)")
            #expect(try await database.query("select id from item limit 9").isEmpty)
        }
    }

    @Test("a queued statement's failure surfaces at the next read")
    func surfacesAtRead() async throws {
        try await TestDatabase.with { database in
            await #expect(throws: PostgresError.self) {
                try await database.transaction { transaction in
                    try await transaction.execute("insert into nowhere (id) values (\(1))")
                    _ = try await transaction.query("select 1 as one")
                    Issue.record("the read returned")
                }
            }
        }
    }

    @Test("a transaction that caught a failure and went on cannot commit")
    func abortedCannotCommit() async throws {
        try await TestDatabase.with { database in
            try await database.update("create table item (id int8 primary key)")
            let fault = await #expect(throws: PostgresError.self) {
                try await database.transaction { transaction in
                    try await transaction.execute("insert into item (id) values (\(1))")
                    do { _ = try await transaction.query("select 1 / 0") } catch is PostgresError {}
                }
            }
            #expect(fault?.code == .transactionAborted)
            #expect(try await database.query("select id from item limit 9").isEmpty)
        }
    }

    @Test("a value that cannot be encoded fails the transaction, also when the failure is caught")
    func unencodable() async throws {
        try await TestDatabase.with { database in
            try await database.update("create table item (name text)")
            let fault = await #expect(throws: PostgresError.self) {
                try await database.transaction { transaction in
                    try await transaction.execute("insert into item (name) values (\("fine"))")
                    try await transaction.execute("insert into item (name) values (\("a\u{0}b"))")
                    do { try await transaction.flush() } catch is PostgresError {}
                }
            }
            #expect(fault?.code == .transactionAborted)
            #expect(try await database.query("select name from item limit 9").isEmpty)
        }
    }

    @Test("a transaction that is used after its end throws")
    func ended() async throws {
        try await TestDatabase.with { database in
            let escaped = try await database.transaction { $0 }
            let fault = await #expect(throws: PostgresError.self) { try await escaped.execute("select 1") }
            #expect(fault?.code == .transactionEnded)
            await #expect(throws: PostgresError.self) { _ = try await escaped.query("select 1") }
        }
    }

    @Test("update tells how many rows changed, so that 0 can mean a lost lease")
    func updateCounts() async throws {
        try await TestDatabase.with { database in
            try await database.update("create table item (id int8 primary key, state text)")
            let (first, second) = try await database.transaction { transaction in
                for id in 0..<3 { try await transaction.execute("insert into item values (\(id), 'open')") }
                let first = try await transaction.update("update item set state = 'done' where state = 'open'")
                let second = try await transaction.update("update item set state = 'done' where state = 'open'")
                return (first, second)
            }
            #expect(first == 3)
            #expect(second == 0)
        }
    }

    @Test("forEach visits every row in order, a few in memory at a time, and its closure may use the transaction")
    func cursor() async throws {
        try await TestDatabase.with { database in
            try await database.update("create table seen (id int8)")
            try await database.transaction { transaction in
                var next = 1
                let limit = 1_050
                try await transaction.forEach("select i from generate_series(1, \(limit)) i", fetch: 100) { row in
                    #expect(try row.get("i", as: Int.self) == next)
                    next += 1
                    if next % 300 == 0 {
                        #expect(try await transaction.first("select count(*) as n from seen") != nil)
                    }
                    try await transaction.execute("insert into seen (id) values (\(next))")
                }
                #expect(next == 1_051)
            }
            let seen = try #require(try await database.first("select count(*) as n from seen"))
            #expect(try seen.get("n") == 1_050)
        }
    }

    @Test("thousands of queued statements with large answers do not block both ends")
    func noDeadlock() async throws {
        try await TestDatabase.with { database in
            try await database.transaction { transaction in
                let text = String(repeating: "x", count: 2_000)
                for _ in 0..<3_000 { try await transaction.execute("select repeat(\(text), 20)") }
                let row = try #require(try await transaction.first("select 7 as n"))
                #expect(try row.get("n") == 7)
            }
        }
    }

    @Test("two statements on different tables that wait for each other end in a transient error")
    func deadlockIsTransient() async throws {
        try await TestDatabase.with { database in
            try await database.update("create table item (id int8 primary key, n int8)")
            try await database.update("insert into item values (1, 0), (2, 0)")
            let gate = Gate(2)
            let faults = await withTaskGroup(of: PostgresError?.self) { group in
                for order in [[1, 2], [2, 1]] {
                    group.addTask {
                        do {
                            try await database.transaction { transaction in
                                _ = try await transaction.update("update item set n = n + 1 where id = \(order[0])")
                                await gate.arrive()
                                _ = try await transaction.update("update item set n = n + 1 where id = \(order[1])")
                            }
                            return nil
                        } catch { return error as? PostgresError }
                    }
                }
                return await group.reduce(into: [PostgresError]()) { if let fault = $1 { $0.append(fault) } }
            }
            #expect(faults.map(\.sqlState) == ["40P01"])
            #expect(faults.first?.isTransient == true)
        }
    }
}

/// Lets tasks go on once all have arrived.
actor Gate {
    private var missing: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ count: Int) { missing = count }

    func arrive() async {
        missing -= 1
        if missing == 0 {
            waiting.forEach { $0.resume() }
            waiting = []
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }
}
