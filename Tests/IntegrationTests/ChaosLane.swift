// A broker, a database, a probe and a sink through many deaths, and the account at the end.

import Foundation
import NauraEvents
import NauraFailpoints
import NauraLedger
import NauraPostgres
import NauraRules
import NauraTestKit

/// Plays rounds one after another on one broker and one database.
///
/// A process that died is followed by the next round's, armed anew: so each death is met by a successor that may die
/// itself. What the deaths left is asked once, at the end: whatever was lost or doubled on the way still is.
struct ChaosLane {
    /// The ways in for its events.
    enum Source {
        case both
        /// Only what went through the outbox survives a broker that comes back empty.
        case outbox
        /// The database may be away.
        case broker
    }

    private let harness: RuntimeHarness
    var source: Source
    private let environment: [String: String]
    private var random: SplitMix64
    private var processes: [ChaosRound.Role: WorkerProcess] = [:]
    private var sent: [EncodedEvent] = []
    private var expected: [String: Int] = [:]
    private var number = 0
    private(set) var problems: [String] = []
    private(set) var deaths = 0
    /// Where the next process' program is taken from; nil for the folder of the tests.
    var programs: URL?

    init(
        _ harness: RuntimeHarness, source: Source = .both, environment: [String: String] = [:], random: SplitMix64
    ) {
        self.harness = harness
        self.source = source
        self.environment = environment
        self.random = random
    }

    // MARK: - Deaths

    mutating func play(_ round: ChaosRound) async throws {
        switch round.trigger {
        case .afterDeath(let failpoint):
            try await die(ChaosRound(failpoint: failpoint, role: round.role, trigger: .load, number: 1))
        case .emptyBroker:
            for process in processes.values { await process.kill() }
            processes = [:]
            try await harness.broker.restartEmpty()
        case .load, .stop: break
        }
        try await die(round)
    }

    /// Starts the round's process with its failpoint armed, and keeps it busy until it is dead.
    private mutating func die(_ round: ChaosRound) async throws {
        if round.role == .publish { return try await diePublishing(round) }
        await processes[round.role]?.kill()
        let isAlone = round.failpoint.rawValue.hasPrefix("shared-") || round.trigger == .emptyBroker
        let other: ChaosRound.Role = round.role == .probe ? .sink : .probe
        if isAlone {
            // The shared streams are one process' at a time, and topics are made once: by this one, with the other gone.
            await processes[other]?.kill()
            processes[other] = nil
        } else if processes[other]?.isRunning != true {
            processes[other] = try start(other)
        }
        let process = try start(round.role, "\(round.failpoint.rawValue)=kill@\(round.number)")
        processes[round.role] = process
        let deadline = ContinuousClock.now + .seconds(40)
        var isTold = false
        while process.isRunning, ContinuousClock.now < deadline {
            if try await isKeepingUp() {
                try await sendSome(isLong: [.jobRenewing, .jobRenewed].contains(round.failpoint))
            }
            if round.trigger == .stop, !isTold, try await holdsPartitions(process) {
                Foundation.kill(process.pid, SIGTERM)
                isTold = true
            }
            _ = try await eventually(within: .milliseconds(120)) { !process.isRunning }
        }
        guard !process.isRunning, await process.exitCode() == -SIGKILL,
            process.log.contains("failpoint \(round.failpoint.rawValue) ")
        else {
            problems.append("\(round) was not reached:\n\(process.log.suffix(2_000))")
            return await process.kill()
        }
        deaths += 1
    }

    /// A client dies in the midst of publishing, and does it all again, as a user would.
    private mutating func diePublishing(_ round: ChaosRound) async throws {
        let numbers = (0..<8).map { number + $0 }
        number += 8
        expect("effect", 8)
        let environment = [
            "NAURA_DATABASE_URL": harness.databaseURL, "PROBE_KEY": "published",
            "PROBE_NUMBERS": numbers.map(String.init).joined(separator: ","),
        ]
        let armed = environment.merging(["NAURA_FAILPOINT": "\(round.failpoint.rawValue)=kill@\(round.number)"]) { $1 }
        if await (try WorkerProcess("probe-worker", arguments: ["publish"], environment: armed)).exitCode() == -SIGKILL
        {
            deaths += 1
        } else {
            problems.append("\(round) was not reached")
        }
        let again = try WorkerProcess("probe-worker", arguments: ["publish"], environment: environment)
        if await again.exitCode() != 0 { problems.append("publishing again failed:\n\(again.log)") }
    }

    /// Starts a probe and a sink where none runs.
    mutating func begin() throws {
        for role in [ChaosRound.Role.probe, .sink] where processes[role]?.isRunning != true {
            processes[role] = try start(role)
        }
    }

    /// The process that has the role now.
    func process(_ role: ChaosRound.Role) -> WorkerProcess? { processes[role] }

    /// Ends the process of the role, by SIGTERM or at once, starts its successor, and waits until that has its part.
    mutating func replace(_ role: ChaosRound.Role, isKilled: Bool) async throws {
        if let process = processes[role] {
            if isKilled {
                await process.kill()
            } else {
                let code = await process.stop()
                if code != 0 { problems.append("\(role) ended with \(code) on SIGTERM:\n\(process.log.suffix(2_000))") }
            }
        }
        let successor = try start(role)
        processes[role] = successor
        if !(try await eventually(within: .seconds(40), { try await holdsPartitions(successor) })) {
            problems.append("\(role) gets no partitions:\n\(successor.log.suffix(2_000))")
        }
    }

    private func start(_ role: ChaosRound.Role, _ failpoint: String? = nil) throws -> WorkerProcess {
        var more = [
            "NAURA_KAFKA_SESSION_TIMEOUT_MS": "1000", "NAURA_LOG_LEVEL": "info", "NAURA_PRUNE_SECONDS": "1",
        ].merging(environment) { $1 }
        more["NAURA_FAILPOINT"] = failpoint
        return try harness.start(role.rawValue, more, from: programs)
    }

    private func holdsPartitions(_ process: WorkerProcess) async throws -> Bool {
        let row = try await harness.database.first(
            """
            select jsonb_array_length(assignments) as held from ledger.worker where pid = \(Int(process.pid))
            and started_at >= \(process.startedAt)
            order by started_at desc limit 1
            """)
        return try row?.get("held", as: Int.self) ?? 0 > 0
    }

    // MARK: - Load

    /// Whether so little waits that more may be sent: where load outruns the machine, every failpoint's turn comes late.
    private func isKeepingUp() async throws -> Bool {
        let jobs = try await harness.count("ledger.job where state in ('waiting', 'running')")
        let effects = try await harness.count("probe.effect")
        return jobs < 40 && effects + 400 > expected["effect", default: 0]
    }

    /// So many pieces of load, one each 50 ms.
    mutating func load(_ pieces: Int) async throws {
        for _ in 0..<pieces {
            try await sendSome()
            // The pace of the load, not a wait for something.
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// New events, old ones once more, in no order; some straight to the broker, some through the outbox.
    mutating func sendSome(isLong: Bool = false) async throws {
        var events: [EncodedEvent] = []
        for _ in 0..<8 {
            let command = command(isLong: isLong)
            let event = try RuntimeHarness.event(
                command.name, command.number, key: "key\(Int.random(in: 0..<6, using: &random))")
            events.append(event)
            sent.append(event)
            expect(command.effect, 1)
            if command.effect != "rejected" { expect("effect", 1) }
        }
        for _ in 0..<3 { if let old = sent.randomElement(using: &random) { events.append(old) } }
        events.shuffle(using: &random)
        let published =
            switch source {
            case .both: Bool.random(using: &random) ? 3 : 0
            case .outbox: events.count
            case .broker: 0
            }
        try await harness.publish(Array(events.prefix(published)))
        events.removeFirst(published)
        if !events.isEmpty { try await harness.send(events) }
    }

    private mutating func command(isLong: Bool) -> (name: String, number: Int, effect: String) {
        number += 1
        switch Int.random(in: 0..<24, using: &random) {
        case 0: return ("reject", number, "rejected")
        case 1: return ("job-reject", number * 1_000_000, "job rejected")
        case 2: return ("job-later", number * 1_000_000 + 2, "job")
        case 3: return ("job-flaky", number * 1_000_000 + 2, "job")
        case 4: return ("job-cancel", number * 1_000_000, "job cancelled")
        case 5...6: return ("job", number * 1_000_000 + (isLong ? 900 : 3), "job")
        default: return ("ok", number, "none")
        }
    }

    private mutating func expect(_ what: String, _ count: Int) { expected[what, default: 0] += count }

    /// For people who watch: how far it is, and how far behind.
    func progress() async throws -> String {
        let effects = try await harness.count("probe.effect")
        return "\(deaths) deaths, \(effects) of \(expected["effect", default: 0]) effects, \(problems.count) problems"
    }

    // MARK: - The account

    /// Lets both processes come to the end, stops them, and compares what is there with what was sent.
    ///
    /// - Parameter mayDie: whether a process that has ended by itself is as it should be.
    mutating func settle(mayDie: Bool) async throws {
        for (role, process) in processes where !process.isRunning && mayDie == false {
            problems.append("\(role) ended by itself:\n\(process.log.suffix(2_000))")
        }
        try begin()
        let (effects, jobs) = (expected["effect", default: 0], expected["job", default: 0])
        var (isSettled, before) = (false, -1)
        while !isSettled {
            let done = try await harness.count("probe.effect") + harness.count("probe.settled")
            guard done > before else { break }
            before = done
            isSettled = try await eventually(within: .seconds(120)) {
                guard try await harness.count("probe.sink") >= effects + jobs else { return false }
                return try await Self.isIdle(harness)
            }
        }
        if !isSettled { problems.append("it does not come to its end") }
        for (role, process) in processes {
            let code = await process.stop()
            if code != 0 { problems.append("\(role) ended with \(code) on SIGTERM:\n\(process.log.suffix(2_000))") }
        }
        let (rejected, jobsRejected) = (expected["rejected", default: 0], expected["job rejected", default: 0])
        for (what, rows, wanted) in [
            ("effects", "probe.effect", effects), ("jobs' effects", "probe.settled", jobs),
            ("counted", "probe.sink", effects + jobs),
            ("following events", "ledger.outbox where type = 'retrain-due'", effects + jobs),
            ("dead letters of events", "ledger.dead_letter where stage = 'probe' and code = 'rejected'", rejected),
            ("dead letters of jobs", "ledger.dead_letter where stage = 'probe-job'", jobsRejected),
            ("dead letters in all", "ledger.dead_letter", rejected + jobsRejected),
            ("dead letters announced", "ledger.outbox where type = 'dead-letter'", rejected + jobsRejected),
            ("cancelled jobs", "ledger.job where state = 'cancelled'", expected["job cancelled", default: 0]),
            ("open jobs", "ledger.job where state in ('waiting', 'running')", 0),
            ("leases", "ledger.stream where owner is not null or not is_clean", 0),
            ("tries on record", "ledger.attempt", 0),
            ("effects twice", "(select 1 from probe.effect group by event_id having count(*) > 1) twice", 0),
            ("jobs twice", "(select 1 from probe.settled group by job having count(*) > 1) twice", 0),
            ("counted twice", "(select 1 from probe.sink group by event_id having count(*) > 1) twice", 0),
            ("said twice", "(select 1 from ledger.outbox group by event_id having count(*) > 1) twice", 0),
            (
                "gaps in streams",
                "(select number - lag(number) over (partition by stream_id order by number) as step from ledger.outbox) s where step <> 1",
                0
            ),
        ] {
            let found = try await harness.count(rows)
            if found != wanted { problems.append("\(what): \(found) instead of \(wanted)") }
        }
        let depth = try await Outbox.depth(in: harness.database)
        if depth != 0 { problems.append("\(depth) rows count as unsent") }
    }

    private static func isIdle(_ harness: RuntimeHarness) async throws -> Bool {
        guard try await harness.count("ledger.job where state in ('waiting', 'running')") == 0 else { return false }
        return try await Outbox.depth(in: harness.database) == 0
    }
}
