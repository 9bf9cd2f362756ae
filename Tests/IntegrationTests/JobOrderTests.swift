// Which job goes next: priorities, fair shares, one at a time a key, however many wait.

import Foundation
import NauraLedger
import NauraRules
import NauraTestKit
import Testing

@testable import NauraPostgres

@Suite("The order of jobs", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct JobOrderTests {
    private static let kind: JobKind = "work"

    private static func request(
        _ about: String, key: String? = nil, priority: JobPriority = .retrain, team: String? = nil, delay: Double = 0
    ) -> JobRequest {
        JobRequest(
            kind: kind, key: key ?? about, about: about, arguments: "{}", delaySeconds: delay, priority: priority,
            team: team)
    }

    private static func file(_ requests: [JobRequest], in database: Database) async throws {
        try await database.transaction { try await Jobs.file(requests, in: $0) }
    }

    private static func claim(_ database: Database, priorityMin: JobPriority? = nil) async throws -> ClaimedJob? {
        try await Jobs.claim(
            kinds: [kind], owner: "test", leaseSeconds: 60, priorityMin: priorityMin, in: database)
    }

    private static func settle(_ job: ClaimedJob, _ database: Database) async throws {
        try await database.transaction { try await Jobs.settle(job, in: $0) }
    }

    /// Claims and settles until nothing is left; what was claimed, in its order.
    private static func drain(_ database: Database) async throws -> [String] {
        var order: [String] = []
        while let job = try await claim(database) {
            order.append(job.about)
            try await settle(job, database)
        }
        return order
    }

    @Test("a rollback goes before retrainings, and a backfill last, whatever was filed first")
    func priorities() async throws {
        try await TestDatabase.with { database in
            try await Self.file(
                (1...500).map { Self.request("backfill-\($0)", priority: .backfill) }, in: database)
            try await Self.file((1...3).map { Self.request("retrain-\($0)") }, in: database)
            try await Self.file([Self.request("rollback", priority: .rollback)], in: database)
            let order = try await Self.drain(database)
            #expect(order.prefix(4) == ["rollback", "retrain-1", "retrain-2", "retrain-3"])
            #expect(order.count == 504)
            #expect(try await Self.claim(database) == nil)
        }
    }

    @Test("a slot that is kept for rollbacks takes nothing else")
    func reserved() async throws {
        try await TestDatabase.with { database in
            try await Self.file([Self.request("retrain")], in: database)
            #expect(try await Self.claim(database, priorityMin: .rollback) == nil)
            try await Self.file([Self.request("rollback", priority: .rollback)], in: database)
            #expect(try await Self.claim(database, priorityMin: .rollback)?.about == "rollback")
        }
    }

    @Test("jobs of one key run one at a time, in the order in which they were filed, whatever their priority")
    func keys() async throws {
        try await TestDatabase.with { database in
            try await Self.file([Self.request("first", key: "k", priority: .backfill)], in: database)
            try await Self.file([Self.request("second", key: "k", priority: .rollback)], in: database)
            let first = try #require(try await Self.claim(database))
            #expect(first.about == "first")
            #expect(try await Self.claim(database) == nil)
            // Given back, it is still the first of its key.
            try await database.transaction { try await Jobs.postpone(first, seconds: 0, isTry: true, in: $0) }
            #expect(try await Self.drain(database) == ["first", "second"])
        }
    }

    @Test("two teams at ten to one demand get 45 % of the slots or more each while both wait", arguments: [1, 2, 3, 4])
    func shares(slots: Int) async throws {
        try await TestDatabase.with { database in
            try await Self.file((1...400).map { Self.request("large-\($0)", team: "large") }, in: database)
            try await Self.file((1...40).map { Self.request("small-\($0)", team: "small") }, in: database)
            // With an even number of slots a share is one of slots, also where the large team's jobs take longer; of an
            // odd one the teams take turns.
            let largeTakes = slots % 2 == 0 ? 3 : 2
            var running: [(job: ClaimedJob, until: Int)] = []
            var held: [String: Int] = [:]
            var now = 0
            var begun = 0
            while begun < 40 {
                while running.count < slots, let job = try await Self.claim(database) {
                    running.append((job, now + (job.team == "large" ? largeTakes : 2)))
                    begun += job.team == "small" ? 1 : 0
                }
                for one in running { held[one.job.team ?? "", default: 0] += 1 }
                now += 1
                for one in running where one.until <= now { try await Self.settle(one.job, database) }
                running.removeAll { $0.until <= now }
            }
            let (large, small) = (Double(held["large"] ?? 0), Double(held["small"] ?? 0))
            #expect(large / (large + small) >= 0.45, "\(held)")
            #expect(small / (large + small) >= 0.45, "\(held)")
        }
    }

    @Test("one slot alternates between two models at ten to one demand", arguments: [true, false])
    func alternates(isOneJobAKey: Bool) async throws {
        try await TestDatabase.with { database in
            func key(_ team: String, _ number: Int) -> String { isOneJobAKey ? "\(team)-\(number)" : team }
            try await Self.file(
                (1...200).map { Self.request("large-\($0)", key: key("large", $0), team: "large") }, in: database)
            var order: [String] = []
            for _ in 0..<20 {
                let job = try #require(try await Self.claim(database))
                try await Self.settle(job, database)
            }
            // One that comes late owes nothing and is owed nothing.
            try await Self.file(
                (1...20).map { Self.request("small-\($0)", key: key("small", $0), team: "small") }, in: database)
            for _ in 0..<40 {
                let job = try #require(try await Self.claim(database))
                order.append(job.team ?? "")
                try await Self.settle(job, database)
            }
            #expect((18...20).contains(order.count { $0 == "small" }), "\(order)")
            for start in stride(from: 0, to: 36, by: 4) {
                #expect((1...3).contains(order[start..<start + 4].count { $0 == "small" }), "\(order)")
            }
        }
    }

    @Test("a claim among 100,000 waiting jobs reads some tens of rows by an index", .timeLimit(.minutes(3)))
    func staysCheap() async throws {
        try await TestDatabase.with { database in
            func analyze() async throws {
                try await database.update("analyze ledger.job")
                try await database.update("analyze ledger.job_line")
            }
            // Half of them each with a key of its own, half behind one key: both have made other designs slow.
            for start in stride(from: 0, to: 100_000, by: 5_000) {
                try await Self.file(
                    (start..<start + 5_000).map {
                        Self.request("job-\($0)", key: $0 % 2 == 0 ? nil : "one", team: "team-\($0 % 10)")
                    }, in: database)
                // As the server does by itself, now and then: what it learns here once made the next filing take an hour.
                if start <= 5_000 { try await analyze() }
            }
            try await Self.file((0..<5_000).map { Self.request("later-\($0)", delay: 3_600) }, in: database)
            try await analyze()
            var times: [Duration] = []
            for round in 0..<60 {
                let clock = ContinuousClock()
                var job: ClaimedJob?
                times.append(try await clock.measure { job = try await Self.claim(database) })
                if round % 2 == 0, let job { try await Self.settle(job, database) }
            }
            let median = times.sorted()[times.count / 2]
            #expect(median < .milliseconds(20), "\(median)")
            let claim = Jobs.claimQuery([Self.kind], "test", 60, nil)
            let plan = try await database.transaction { transaction in
                try await transaction.query(
                    Query(sql: "explain (analyze, timing off, summary off) \(claim.sql)", binds: claim.binds))
            }.map { try $0.get("QUERY PLAN", as: String.self) }.joined(separator: "\n")
            #expect(
                plan.contains("Index Scan using job_line_next") || plan.contains("Index Only Scan using job_line_next"),
                "\(plan)")
            #expect(!plan.contains("Seq Scan on job"), "\(plan)")
            var rollback: ClaimedJob?
            let urgent = try await ContinuousClock().measure {
                rollback = try await Self.claim(database, priorityMin: .rollback)
            }
            #expect(rollback == nil)
            #expect(urgent < .milliseconds(100), "\(urgent)")
        }
    }

    @Test("filing, claiming, settling and cancelling at once never run two jobs of a key, and leave none behind")
    func races() async throws {
        try await TestDatabase.with(connectionsMax: 12) { database in
            let (filers, rounds) = (4, 60)
            try await withThrowingTaskGroup(of: Int.self) { group in
                for filer in 0..<filers {
                    group.addTask {
                        var random = SplitMix64(seed: UInt64(filer))
                        for round in 0..<rounds {
                            let keys = (0..<3).map { _ in "key-\(Int.random(in: 0..<5, using: &random))" }
                            try await Self.again {
                                try await Self.file(
                                    keys.enumerated().map {
                                        Self.request("\(filer)-\(round)-\($0.offset)", key: $0.element)
                                    }, in: database)
                            }
                        }
                        return 0
                    }
                }
                for runner in 0..<4 {
                    group.addTask {
                        var random = SplitMix64(seed: UInt64(100 + runner))
                        return try await Self.work(database, until: filers * rounds * 3, random: &random)
                    }
                }
                try await group.waitForAll()
            }
            let left = try await database.query("select 1 as one from ledger.job where state <> 'done' limit 1")
            #expect(left.isEmpty)
            #expect(try await database.query("select 1 as one from ledger.job_line limit 1").isEmpty)
        }
    }

    /// Claims and settles, now and then giving back, until `count` jobs are done by all together. The unique index on
    /// running jobs turns two of a key into an error.
    private static func work(_ database: Database, until count: Int, random: inout SplitMix64) async throws -> Int {
        var settled = 0
        while true {
            guard let job = try await again({ try await claim(database) }) else {
                let row = try await database.first("select count(*) as n from ledger.job where state = 'done'")
                if try row?.get("n", as: Int.self) ?? 0 >= count { return settled }
                continue
            }
            if Int.random(in: 0..<5, using: &random) == 0 {
                try await again {
                    try await database.transaction { try await Jobs.postpone(job, seconds: 0, isTry: false, in: $0) }
                }
                continue
            }
            try await again { try await settle(job, database) }
            settled += 1
        }
    }

    /// Two that wait for each other are told apart by the server, and the loser tries again, as the runtime does.
    @discardableResult
    private static func again<R>(_ body: () async throws -> R) async throws -> R {
        while true {
            do {
                return try await body()
            } catch let error as PostgresError {
                guard error.isTransient else { throw error }
            }
        }
    }
}
