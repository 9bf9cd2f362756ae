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
                for id in 0..<10 { try await transaction.execute("insert into item (id, name) values (\(id), \("n\(id)"))") }
            }
            let rows = try await database.query("select id, name from item order by id limit 100")
            #expect(try rows.map { try $0.get("id", as: Int.self) } == Array(0..<10))
            #expect(try rows[3].get("name", as: String.self) == "n3")
        }
    }
}
