import Foundation
import NauraEvents
import NauraKafka
import NauraPostgres

/// Events of a stage that waits, whose keys fall evenly on the partitions.
enum WaitLoad {
    static let partitions = 16
    /// Keys of each partition.
    private static let keysOfPartition = 8

    /// The key of the event `number`: partitions take turns.
    static func keys() -> [String] {
        var found = Array(repeating: [String](), count: partitions)
        var number = 0
        while found.contains(where: { $0.count < keysOfPartition }) {
            let key = "model-\(number)"
            let partition = Int(KafkaPartitioner.partition(of: Array(key.utf8), partitions: Int32(partitions)))
            if found[partition].count < keysOfPartition { found[partition].append(key) }
            number += 1
        }
        return (0..<keysOfPartition).flatMap { place in found.map { $0[place] } }
    }

    static func message(_ number: Int, key: String, at date: Date) throws -> KafkaMessage {
        let payload = GroundTruth(
            model: ModelID(key),
            items: [.init(predictionID: "p\(number)", unit: "u", at: date, label: "\(number)", observedAt: date)])
        let event = try EncodedEvent(payload, id: EventID("wait-\(number)"), source: "/naura/bench", time: date)
        return KafkaMessage(
            topic: "ground-truth", key: Array(payload.subject.utf8), value: event.body, headers: event.headers)
    }

    /// Starts `count` instances that share all partitions evenly.
    static func start(_ count: Int, in system: BenchSystem) async throws -> [Process] {
        let workers = try (0..<count).map { _ in
            try system.startWorker("wait", more: ["NAURA_BATCH_EVENTS": "20", "NAURA_DATABASE_CONNECTIONS": "4"])
        }
        try await system.waitForWorkers(count, holding: partitions / count)
        return workers
    }

    static func producer(of system: BenchSystem) throws -> KafkaProducer {
        var configuration = KafkaConfiguration(brokers: system.brokers)
        configuration.linger = .milliseconds(2)
        return try KafkaProducer(configuration: configuration)
    }

    /// Events that were handled before an earlier one of their key.
    static func disorder(in system: BenchSystem) async throws -> Int {
        let row = try await system.database.query(
            """
            select count(*) as rows from (
                select number < lag(number) over (partition by key order by at) as is_early from bench.wait) seen
            where is_early
            """
        ).first
        return try row?.get("rows") ?? -1
    }

    static func stop(_ workers: [Process]) {
        for worker in workers { worker.terminate() }
        for worker in workers { worker.waitUntilExit() }
    }
}

/// What further instances bring to a stage that waits.
enum Scale {
    /// Prints `| instances | events | events/s | of one | in order |`.
    static func measure(events: Int) async throws {
        var one = Double.nan
        for instances in [1, 2, 4] {
            try await BenchSystem.with(partitions: WaitLoad.partitions) { system in
                let workers = try await WaitLoad.start(instances, in: system)
                let (keys, producer, now) = (WaitLoad.keys(), try WaitLoad.producer(of: system), Date())
                try await producer.send(
                    (0..<events).map { try WaitLoad.message($0, key: keys[$0 % keys.count], at: now) })
                let sent = Date()
                await producer.close()
                try await system.poll {
                    let row = try await system.database.query("select count(*) as rows from bench.wait").first
                    return try row?.get("rows", as: Int.self) ?? 0 >= events
                }
                // From the moment on at which all were there.
                let row = try await system.database.query(
                    """
                    select extract(epoch from max(handled_at) - \(sent))::float8 as seconds,
                        count(*) filter (where handled_at >= \(sent)) as rows from bench.wait
                    """
                ).first
                let rate =
                    try Double(row?.get("rows", as: Int.self) ?? 0) / (row?.get("seconds", as: Double.self) ?? .nan)
                if instances == 1 { one = rate }
                let disorder = try await WaitLoad.disorder(in: system)
                WaitLoad.stop(workers)
                print(
                    "| \(instances) | \(events) | \(Int(rate)) | \(String(format: "%.2f", rate / one)) × "
                        + "| \(disorder == 0 ? "yes" : "no: \(disorder)") |")
            }
        }
    }
}
