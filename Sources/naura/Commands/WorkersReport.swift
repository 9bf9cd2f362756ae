import Foundation
import NauraEvents
import NauraKafka
import NauraLedger
import NauraPostgres

/// What `naura workers` shows: the ledger's word on who holds what, and the broker's on what is unread.
struct WorkersReport: Encodable {
    /// A partition that an instance holds.
    struct HeldPartition: Encodable {
        let topic: String
        let partition: Int
        let stage: String?
        /// Records not handled; nil when the broker did not tell.
        let lag: Int?
        let oldestSeconds: Double?

        private enum CodingKeys: String, CodingKey {
            case topic, partition, stage, lag
            case oldestSeconds = "oldest_seconds"
        }
    }

    struct Worker: Encodable {
        let name: String
        let instance: String
        let host: String
        let pid: Int
        let state: String
        let lag: Int
        let address: String?
        let startedAt: Date
        let seenAt: Date
        let upSeconds: Double
        let partitions: [HeldPartition]
        let leases: [LeaseRow]

        private enum CodingKeys: String, CodingKey {
            case name, instance, host, pid, state, lag, address, partitions, leases
            case startedAt = "started_at"
            case seenAt = "seen_at"
            case upSeconds = "up_seconds"
        }
    }

    struct Stage: Encodable {
        let stage: String
        let worker: String
        let topic: String
        let partitions: Int
        /// How many of them a live instance holds.
        let held: Int
        let lag: Int?
        /// How long the oldest event that is not handled has been in the topic.
        let oldestSeconds: Double?

        private enum CodingKeys: String, CodingKey {
            case stage, worker, topic, partitions, held, lag
            case oldestSeconds = "oldest_seconds"
        }
    }

    /// `up`, `away`, or `unknown` where no address is known.
    let broker: String
    let workers: [Worker]
    let stages: [Stage]
    let stuck: [StuckRow]

    /// How long an event may wait in a partition that is held before that is worth a line.
    private static let patienceSeconds = 60.0

    static func read(_ settings: Settings, from database: Database) async throws -> WorkersReport {
        let duties = try await WorkOverview.duties(in: database)
        let stageDuties = duties.filter { $0.kind == .stage }
        let (broker, backlog) = await backlog(settings, stageDuties)
        let rows = try await LedgerOverview.workers(in: database)
        let assignments = try await WorkOverview.assignments(in: database)
        let view = View(duties: stageDuties, backlog: backlog, assignments: assignments, rows: rows, now: Date())
        let leases = try await WorkOverview.leases(in: database)
        return WorkersReport(
            broker: broker,
            workers: rows.map { row in
                Worker(
                    name: row.name, instance: row.instance, host: row.host, pid: row.pid, state: row.state,
                    lag: row.lag, address: row.address, startedAt: row.startedAt, seenAt: row.seenAt,
                    upSeconds: max(0, view.now.timeIntervalSince(row.startedAt)), partitions: view.held(by: row),
                    leases: leases.filter { $0.owner == row.instance })
            },
            stages: stageDuties.map(view.stage),
            stuck: try await WorkOverview.stuck(in: database) + view.stuck(patienceSeconds))
    }

    /// What the broker says of each worker's group; nothing when it is away.
    private static func backlog(
        _ settings: Settings, _ duties: [WorkerDuty]
    ) async -> (state: String, backlog: [String: [PartitionBacklog]]) {
        guard let kafka = settings.kafka else { return ("unknown", [:]) }
        do {
            let topics = Dictionary(grouping: duties, by: \.worker).mapValues { $0.compactMap(\.topic) }
            return ("up", try await BrokerQuestions.backlog(of: topics, with: kafka))
        } catch {
            Terminal.printError("\(error)")
            return ("away", [:])
        }
    }

    /// `12 s`, `3 min`, `5 h`.
    static func spoken(_ seconds: Double) -> String {
        switch seconds {
        case ..<99.5: "\(Int(seconds.rounded())) s"
        case ..<(99.5 * 60): "\(Int((seconds / 60).rounded())) min"
        case ..<(48 * 3_600): "\(Int((seconds / 3_600).rounded())) h"
        default: "\(Int((seconds / 86_400).rounded())) d"
        }
    }
}

/// Both words side by side.
private struct View {
    let duties: [WorkerDuty]
    /// By worker.
    let backlog: [String: [PartitionBacklog]]
    /// By instance.
    let assignments: [String: [String]]
    let rows: [WorkerRow]
    let now: Date

    func held(by row: WorkerRow) -> [WorkersReport.HeldPartition] {
        (assignments[row.instance] ?? []).compactMap { text in
            guard let place = TopicPartition(text) else { return nil }
            let found = backlog[row.name]?.first { $0.partition == place }
            return WorkersReport.HeldPartition(
                topic: place.topic, partition: Int(place.partition),
                stage: duties.first { $0.worker == row.name && $0.topic == place.topic }?.name,
                lag: found.map { Int($0.lag) }, oldestSeconds: found.flatMap(age))
        }
    }

    func stage(_ duty: WorkerDuty) -> WorkersReport.Stage {
        let parts = partitions(of: duty)
        let holders = holders(of: duty)
        return WorkersReport.Stage(
            stage: duty.name, worker: duty.worker, topic: duty.topic ?? "",
            partitions: max(parts.count, holders.count), held: holders.count,
            lag: parts.isEmpty ? nil : Int(parts.map(\.lag).reduce(0, +)), oldestSeconds: parts.compactMap(age).max())
    }

    /// Partitions that nobody holds, and those that are held and do not move.
    func stuck(_ patienceSeconds: Double) -> [StuckRow] {
        duties.flatMap { duty -> [StuckRow] in
            let (parts, holders) = (partitions(of: duty), holders(of: duty))
            let free = parts.filter { holders[$0.partition] == nil }
            var found: [StuckRow] = []
            if !free.isEmpty {
                let isAlive = rows.contains { $0.name == duty.worker && $0.state != "silent" }
                let lag = free.map(\.lag).reduce(0, +)
                found.append(
                    StuckRow(
                        what: "partition-unheld",
                        subject:
                            "\(free.count == 1 ? "a partition" : "\(free.count) partitions") of \(duty.topic ?? "")",
                        why: isAlive
                            ? "\(duty.name): the group of \(duty.worker) is sharing them out (\(lag) events wait)"
                            : "\(duty.name): no instance of \(duty.worker) lives (\(lag) events wait)",
                        seconds: free.compactMap(age).max()))
            }
            for part in parts {
                guard let holder = holders[part.partition], let seconds = age(part), seconds > patienceSeconds else {
                    continue
                }
                found.append(
                    StuckRow(
                        what: "partition-slow", subject: "\(part.partition)",
                        why: "\(duty.name): \(holder) has \(part.lag) events to handle; its log says what it waits for",
                        seconds: seconds))
            }
            return found
        }
    }

    private func partitions(of duty: WorkerDuty) -> [PartitionBacklog] {
        (backlog[duty.worker] ?? []).filter { $0.partition.topic == duty.topic }
    }

    /// The live instances that hold the topic's partitions.
    private func holders(of duty: WorkerDuty) -> [TopicPartition: String] {
        var holders: [TopicPartition: String] = [:]
        for row in rows where row.name == duty.worker {
            for text in assignments[row.instance] ?? [] {
                if let place = TopicPartition(text), place.topic == duty.topic { holders[place] = row.instance }
            }
        }
        return holders
    }

    private func age(_ part: PartitionBacklog) -> Double? { part.oldestAt.map { max(0, now.timeIntervalSince($0)) } }
}

extension TopicPartition {
    /// Reads `topic[partition]`, as instances report what they hold.
    fileprivate init?(_ text: String) {
        guard text.hasSuffix("]"), let start = text.lastIndex(of: "["),
            let number = Int32(text[text.index(after: start)...].dropLast())
        else { return nil }
        self.init(topic: String(text[..<start]), partition: number)
    }
}
