import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres

/// How long an event is on its way when nothing else happens.
enum Latency {
    /// Prints `| way | events | p50 | p99 |`, in milliseconds.
    static func measure(events: Int) async throws {
        try await BenchSystem.with { system in
            let workers = try ["first", "second", "third"].map { try system.startWorker($0) }
            try await system.waitForWorkers(3, holding: 4)
            // The first events pay for what is made at first use.
            let warmUp = 20
            var published: [String: Date] = [:]
            var safe: [Double] = []
            for number in 0..<(events + warmUp) {
                let name = "n\(number)"
                let event = try EncodedEvent(
                    NewData(dataset: DatasetID(rawValue: name), uri: "file:///bench"), id: EventID("latency-\(number)"),
                    source: "/naura/bench", time: Date(), causeID: nil, rootID: nil)
                if number >= warmUp { published[name] = Date() }
                _ = try await Publisher.publish(event, in: system.database)
                if let start = published[name] { safe.append(Date().timeIntervalSince(start)) }
                // Idle in between, and never in step with anybody's tick.
                try await Task.sleep(for: .milliseconds(Int.random(in: 30...70)))
            }
            try await system.poll {
                let row = try await system.database.query("select count(*) as rows from bench.hop where hop = 3").first
                return try row?.get("rows", as: Int.self) ?? 0 >= events + warmUp
            }
            var starts: [Int: [String: Date]] = [1: [:], 2: [:], 3: [:]]
            for row in try await system.database.query("select number, hop, at from bench.hop") {
                starts[try row.get("hop", as: Int.self)]?[try row.get("number", as: String.self)] = try row.get("at")
            }
            let first = starts[1] ?? [:]
            let second = starts[2] ?? [:]
            let third = starts[3] ?? [:]
            tell("`publish` called → it returns, the event safe in the outbox", safe)
            tell(
                "`publish` called → the next worker's handler starts",
                published.compactMap { name, at in first[name]?.timeIntervalSince(at) })
            tell(
                "a worker's handler starts → the next worker's handler starts",
                published.keys.compactMap { name in first[name].flatMap { second[name]?.timeIntervalSince($0) } })
            tell(
                "`publish` called → the third worker's handler starts: the outbox and two commits between",
                published.compactMap { name, at in third[name]?.timeIntervalSince(at) })
            for worker in workers { worker.terminate() }
            for worker in workers { worker.waitUntilExit() }
        }
    }

    private static func tell(_ way: String, _ seconds: [Double]) {
        let sorted = seconds.sorted()
        func quantile(_ share: Double) -> String {
            String(format: "%.1f", sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] * 1_000)
        }
        print("| \(way) | \(sorted.count) | \(quantile(0.5)) | \(quantile(0.99)) |")
    }
}
