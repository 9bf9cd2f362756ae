import Foundation
import NauraEvents
import NauraKafka
import NauraPostgres

/// What it costs that an instance joins, leaves or dies while events come.
enum Rebalance {
    /// Prints `| what happens | longest silence | longest wait | partitions that waited |`, times in milliseconds.
    static func measure() async throws {
        try await BenchSystem.with(partitions: WaitLoad.partitions) { system in
            var workers = try await WaitLoad.start(2, in: system)
            let (keys, producer) = (WaitLoad.keys(), try WaitLoad.producer(of: system))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    var number = 0
                    while !Task.isCancelled {
                        // 20 events each 50 ms.
                        let now = Date()
                        let first = number
                        try await producer.send(
                            (first..<first + 20).map {
                                try WaitLoad.message($0, key: keys[$0 % keys.count], at: now)
                            })
                        number += 20
                        do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
                    }
                }
                try await settle()
                try await watch("nothing", system) {}
                var third: Process?
                try await watch("a third joins", system) {
                    third = try system.startWorker(
                        "wait", more: ["NAURA_BATCH_EVENTS": "20", "NAURA_DATABASE_CONNECTIONS": "4"])
                }
                try await watch("it leaves (SIGTERM)", system) { third?.terminate() }
                try await watch("a third joins again", system) {
                    third = try system.startWorker(
                        "wait", more: ["NAURA_BATCH_EVENTS": "20", "NAURA_DATABASE_CONNECTIONS": "4"])
                }
                try await watch("it dies (SIGKILL)", system) {
                    if let pid = third?.processIdentifier { kill(pid, SIGKILL) }
                }
                if let third { workers.append(third) }
                group.cancelAll()
            }
            await producer.close()
            let disorder = try await WaitLoad.disorder(in: system)
            WaitLoad.stop(workers)
            guard disorder == 0 else { throw BenchFailure(description: "\(disorder) events out of order") }
        }
    }

    /// What happens shows within this time, session timeout included.
    private static let seconds = 10.0

    private static func settle() async throws { try await Task.sleep(for: .seconds(3)) }

    /// Does `body` and looks at what was sent or handled in the ten seconds after it.
    private static func watch(_ what: String, _ system: BenchSystem, _ body: () throws -> Void) async throws {
        let start = Date()
        try body()
        try await Task.sleep(for: .seconds(seconds))
        let end = Date()
        try await settle()
        let row = try await system.database.query(
            """
            with seen as (
                select key, sent_at, handled_at, handled_at - lag(handled_at) over (order by handled_at) as silence
                from bench.wait where handled_at >= \(start) or sent_at >= \(start)
            )
            select extract(epoch from max(silence))::float8 as silence,
                extract(epoch from max(handled_at - sent_at))::float8 as wait,
                array_agg(distinct key) filter (where handled_at - sent_at > interval '250 milliseconds') as late
            from seen where sent_at between \(start) and \(end)
            """
        ).first
        let late = Set(
            (try row?.get("late", as: [String]?.self) ?? []).map {
                KafkaPartitioner.partition(of: Array($0.utf8), partitions: Int32(WaitLoad.partitions))
            })
        func milliseconds(_ name: String) throws -> String {
            try "\(Int(((row?.get(name, as: Double?.self) ?? nil) ?? .nan) * 1_000))"
        }
        print("| \(what) | \(try milliseconds("silence")) | \(try milliseconds("wait")) | \(late.count) of 16 |")
    }
}
