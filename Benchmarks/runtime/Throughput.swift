import Foundation
import NauraPostgres

/// Events per second through one stage, exactly once: one inbox row, one effect row and one outbox row an event,
/// published.
enum Throughput {
    /// Prints `| batch | events | events/s | worker CPU, µs an event |`.
    static func measure(events: Int, batch: Int) async throws {
        try await BenchSystem.with { system in
            try await system.fill(events: events)
            let worker = try system.startWorker("bench", more: ["NAURA_BATCH_EVENTS": "\(batch)"])
            // Counted when its effect is stored and its following event acknowledged.
            try await system.poll {
                let row = try await system.database.query(
                    "select coalesce(sum(sent), 0)::bigint as sent from ledger.stream where name like 'count-labels/%'"
                ).first
                return try row?.get("sent", as: Int.self) ?? 0 >= events
            }
            let row = try await system.database.query(
                "select extract(epoch from max(at) - min(at))::float8 as seconds, count(*) as rows from bench.effect"
            ).first
            let seconds = try row?.get("seconds", as: Double.self) ?? .nan
            let rows = try row?.get("rows", as: Int.self) ?? 0
            let usage = ProcessFigures.cpuSeconds(of: worker.processIdentifier)
            worker.terminate()
            worker.waitUntilExit()
            guard rows == events else { throw BenchFailure(description: "\(rows) effects of \(events) events") }
            let name = batch == 1 ? "Naura, single" : "Naura, batches up to \(batch)"
            print("| \(name) | \(events) | \(Int(Double(events) / seconds)) | \(Int(usage / Double(events) * 1e6)) |")
        }
    }
}

/// A filled topic and a database for somebody else's consumer.
enum PeerHost {
    /// Prints one line, `brokers TAB database`, and stays until its standard input ends.
    static func run(events: Int) async throws {
        try await BenchSystem.with { system in
            try await system.fill(events: events)
            FileHandle.standardOutput.write(Data("\(system.brokers)\t\(system.databaseURL)\n".utf8))
            // The caller holds the other end.
            while readLine() != nil {}
        }
    }
}
