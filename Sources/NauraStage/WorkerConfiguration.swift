// What every worker reads from its environment, once, checked whole.

import Configuration
import Foundation
import Logging
import NauraKafka

/// The configuration that all workers share, beside that of ``ServerConfiguration``.
///
/// | variable | type | default |
/// | --- | --- | --- |
/// | `NAURA_ARTIFACTS` | directory | none |
/// | `NAURA_HOST` | address that health, and HTTP where a worker serves it, listen on | `127.0.0.1` |
/// | `NAURA_HEALTH_PORT` | 0–65535; 0 takes a free one | 0 |
/// | `NAURA_LOG_LEVEL` | `trace` … `critical` | `info` |
/// | `NAURA_KAFKA_FETCH_WAIT_MS` | 1–1000: how long an idle fetch waits at the broker | 25 |
/// | `NAURA_KAFKA_SESSION_TIMEOUT_MS` | 1000–300000 | 6000 |
/// | `NAURA_KAFKA_LEAVE_GROUP` | 0 where a leaving member harms its group (``KafkaConfiguration/leavesGroup``) | 1 |
/// | `NAURA_KAFKA_POLL_MAX_MS` | 1000–86400000: a consumer that does not poll for so long has hung | 300000 |
/// | `NAURA_KAFKA_PARTITIONS` | 1–1000: partitions of the topics that a worker makes | 4 |
/// | `NAURA_DATABASE_CONNECTIONS` | 2–64 | 4 |
/// | `NAURA_LEASE_SECONDS` | 1–3600: silence after which a job, or a shared stream, is another's | 6 |
/// | `NAURA_JOBS` | 1–64: jobs that a process does at once | 2 |
/// | `NAURA_JOB_TIMEOUT_SECONDS` | 1–2592000: the longest try of a job; then it is stopped, which counts as failed | the kind's own |
/// | `NAURA_JOB_TRIES` | 1–1000: failed tries after which a job fails for good | the kind's own |
/// | `NAURA_JOB_BACK_OFF_MAX_SECONDS` | 1–86400: the longest wait between two tries | the kind's own |
/// | `NAURA_BATCH_EVENTS` | 1–1000 | 500 |
/// | `NAURA_REPLAYING` | 1 for a worker that `naura replay` starts in a copy: no Kafka, no jobs | 0 |
/// | `NAURA_PRUNE_SECONDS` | 1–86400: how often what is past its retention is deleted | 3600 |
/// | `NAURA_KEEP_OUTBOX_SECONDS` | 10–604800: how long sent events are kept to refill an empty broker | 604800 (7 days) |
/// | `NAURA_KEEP_JOBS_SECONDS` | 10–315360000: how long jobs that are done are kept | 2592000 (30 days) |
public struct WorkerConfiguration: Sendable {
    /// Database, broker and credentials.
    public let servers: ServerConfiguration
    public let artifacts: String
    public let host: String
    public let healthPort: Int
    /// Without one only loopback addresses may be listened on.
    public var token: String? { servers.token }
    public let logLevel: Logger.Level
    let fetchWait: Duration
    let sessionTimeout: Duration
    let leavesGroup: Bool
    let pollMax: Duration
    let partitions: Int
    let connectionsMax: Int
    let leaseSeconds: Double
    let jobsMax: Int
    let overrides: PolicyOverrides
    let batchEventsMax: Int
    let pruneSeconds: Int
    let retention: Retention
    let isReplaying: Bool

    /// Reads `config`, whose keys stand without the prefix `NAURA_`.
    /// - Throws: ``ConfigurationFault`` with every fault at once.
    public init(_ config: ConfigReader) throws {
        var faults: [String] = []
        func text(_ key: ConfigKey, _ variable: String) -> String {
            if let value = config.string(forKey: key), !value.isEmpty { return value }
            faults.append("\(variable) is not set")
            return ""
        }
        func number(_ key: ConfigKey, _ variable: String, _ range: ClosedRange<Int>, _ usual: Int) -> Int {
            guard let given = config.string(forKey: key), !given.isEmpty else { return usual }
            if let value = Int(given), range.contains(value) { return value }
            faults.append("\(variable): expected \(range.lowerBound)…\(range.upperBound), found \(given)")
            return usual
        }
        servers = ServerConfiguration(faults: &faults) { variable in
            let words = variable.dropFirst("NAURA_".count).lowercased().split(separator: "_").map(String.init)
            return config.string(forKey: ConfigKey(words), isSecret: true)
        }
        isReplaying = number("replaying", "NAURA_REPLAYING", 0...1, 0) == 1
        for (value, variable) in [
            (servers.databaseURL, "NAURA_DATABASE_URL"),
            (isReplaying ? "none" : servers.kafka.brokers, "NAURA_KAFKA_BROKERS"),
        ] where value.isEmpty && !faults.contains(where: { $0.hasPrefix(variable) }) {
            faults.append("\(variable) is not set")
        }
        artifacts = text("artifacts", "NAURA_ARTIFACTS")
        host = config.string(forKey: "host", default: "127.0.0.1")
        healthPort = number("health.port", "NAURA_HEALTH_PORT", 0...65_535, 0)
        fetchWait = .milliseconds(number("kafka.fetch.wait.ms", "NAURA_KAFKA_FETCH_WAIT_MS", 1...1_000, 25))
        sessionTimeout = .milliseconds(
            number("kafka.session.timeout.ms", "NAURA_KAFKA_SESSION_TIMEOUT_MS", 1_000...300_000, 6_000))
        leavesGroup = number("kafka.leave.group", "NAURA_KAFKA_LEAVE_GROUP", 0...1, 1) == 1
        pollMax = .milliseconds(number("kafka.poll.max.ms", "NAURA_KAFKA_POLL_MAX_MS", 1_000...86_400_000, 300_000))
        partitions = number("kafka.partitions", "NAURA_KAFKA_PARTITIONS", 1...1_000, 4)
        connectionsMax = number("database.connections", "NAURA_DATABASE_CONNECTIONS", 2...64, 4)
        leaseSeconds = Double(number("lease.seconds", "NAURA_LEASE_SECONDS", 1...3_600, 6))
        jobsMax = number("jobs", "NAURA_JOBS", 1...64, 2)
        func override(_ key: ConfigKey, _ variable: String, _ range: ClosedRange<Int>) -> Int? {
            let value = number(key, variable, range, 0)
            return value == 0 ? nil : value
        }
        overrides = PolicyOverrides(
            timeout: override("job.timeout.seconds", "NAURA_JOB_TIMEOUT_SECONDS", 1...2_592_000).map { .seconds($0) },
            triesMax: override("job.tries", "NAURA_JOB_TRIES", 1...1_000),
            backOffMax: override("job.back.off.max.seconds", "NAURA_JOB_BACK_OFF_MAX_SECONDS", 1...86_400)
                .map { .seconds($0) })
        batchEventsMax = number("batch.events", "NAURA_BATCH_EVENTS", 1...1_000, 500)
        pruneSeconds = number("prune.seconds", "NAURA_PRUNE_SECONDS", 1...86_400, 3_600)
        var retention = Retention()
        // Not more than 7 days: the inbox knows for how long an event may be sent again.
        retention.outboxSeconds = Double(
            number("keep.outbox.seconds", "NAURA_KEEP_OUTBOX_SECONDS", 10...604_800, Int(retention.outboxSeconds)))
        retention.jobsSeconds = Double(
            number("keep.jobs.seconds", "NAURA_KEEP_JOBS_SECONDS", 10...315_360_000, Int(retention.jobsSeconds)))
        self.retention = retention
        let level = config.string(forKey: "log.level", default: "info")
        if Logger.Level(rawValue: level) == nil {
            faults.append(
                "NAURA_LOG_LEVEL: expected trace, debug, info, notice, warning, error or critical, found \(level)")
        }
        logLevel = Logger.Level(rawValue: level) ?? .info
        guard faults.isEmpty else { throw ConfigurationFault(faults: faults) }
    }

    var kafka: KafkaConfiguration {
        var kafka = servers.kafka
        kafka.fetchWaitMax = fetchWait
        kafka.sessionTimeout = sessionTimeout
        kafka.leavesGroup = leavesGroup
        kafka.pollMax = pollMax
        return kafka
    }
}

/// All that is wrong with a process' configuration.
public struct ConfigurationFault: Error, CustomStringConvertible {
    public let faults: [String]
    public init(faults: [String]) { self.faults = faults }
    public var description: String { "the configuration has faults:\n  - " + faults.joined(separator: "\n  - ") }
}
