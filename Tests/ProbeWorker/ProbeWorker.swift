// A worker for the runtime's own tests: it does, event by event, what the event's URI says, so that a test can have it
// fail, wait, file jobs or trap at a chosen place. `probe-worker probe` handles and announces; `probe-worker sink`
// counts what was announced; `publish` and `migrate` do what the command line does (ProbeClient.swift).

import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStage

/// Handles `new-data`: `file:///COMMAND/NUMBER`. Always writes one effect row and announces one `retrain-due`.
struct Probe: Stage {
    static let name: StageName = "probe"
    let instance: String

    func handle(_ event: Event<NewData>, in work: borrowing Work) async throws {
        let parts = event.payload.uri.split(separator: "/").map(String.init)
        guard parts.count == 3, let number = Int(parts[2]) else {
            throw Rejection("no command in \(event.payload.uri)")
        }
        try await obey(parts[1], number, event, in: work)
        try await work.transaction.execute(
            """
            insert into probe.effect (event_id, key, number, instance)
            values (\(event.id.rawValue), \(event.payload.dataset.rawValue), \(number), \(instance))
            """)
        try await work.emit(
            RetrainDue(
                model: ModelID(rawValue: event.payload.dataset.rawValue), requestedBy: "probe", reason: "\(number)"))
    }

    private func obey(_ command: String, _ number: Int, _ event: Event<NewData>, in work: borrowing Work) async throws {
        switch command {
        case "reject":
            throw Rejection("number \(number) is refused")
        case "fail":
            throw ProbeError(description: "number \(number) fails each time")
        case "flaky":
            // A sequence keeps its value when the transaction is rolled back.
            let row = try await work.transaction.first("select nextval('probe.tries') as tries")
            if try row?.get("tries", as: Int.self) ?? 0 < 3 { throw ProbeError(description: "not yet") }
        case "trap":
            let row = try await work.transaction.first("select nextval('probe.tries') as tries")
            if try row?.get("tries", as: Int.self) ?? 0 < 3 { fatalError("the event at hand ends the process") }
        case "trap-always":
            fatalError("the event at hand ends each process")
        case "block":
            _ = try await work.transaction.query("select pg_advisory_xact_lock(\(number))")
        case "claimed":
            // Whether the inbox row stood there first, within this very transaction.
            let row = try await work.transaction.first(
                "select count(*) as rows from ledger.inbox where stage = 'probe'")
            guard try row?.get("rows", as: Int.self) == 1 else { throw Rejection("the inbox row is missing") }
        case "broken":
            guard try await isRepaired(in: work.transaction) else { throw Rejection("number \(number) is broken") }
        case "sleep":
            try await Task.sleep(for: .milliseconds(number))
        case "program":
            try await work.file(
                ProbeProgram.kind, key: event.payload.dataset.rawValue, about: event.id.rawValue,
                arguments: ProbeProgram.Arguments(seconds: number))
        case "wait":
            _ = try await work.transaction.query("select pg_sleep(\(Double(number) / 1_000_000))")
        case "job", "job-reject", "job-later", "job-flaky", "job-cancel":
            try await work.file(
                ProbeJob.kind, key: event.payload.dataset.rawValue, about: event.id.rawValue,
                arguments: ProbeJob.Arguments(milliseconds: number % 1_000_000, command: command))
        default:
            break
        }
    }
}

struct ProbeError: Error, CustomStringConvertible {
    let description: String
}

/// Whether the test has written the row that repairs what is broken.
private func isRepaired(in transaction: Transaction) async throws -> Bool {
    try await transaction.first("select 1 as one from probe.effect where key = 'repaired'") != nil
}

/// Takes its time, then writes one row; of less than no time until a test has repaired it, it is refused.
struct ProbeJob: JobRunner {
    struct Arguments: Codable, Sendable {
        let milliseconds: Int
        /// `job-reject` fails for good, `job-later` gives the job back once, `job-flaky` fails once, `job-cancel` is cancelled
        /// while it runs.
        let command: String
    }

    static let kind: JobKind = "probe-job"
    let instance: String

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        try await lease.transaction { work in
            try await work.transaction.execute(
                "insert into probe.claim (job, instance) values (\(job.id), \(instance))")
            guard job.arguments.milliseconds < 0 else { return }
            guard try await isRepaired(in: work.transaction) else { throw Rejection("the job is broken") }
        }
        switch job.arguments.command {
        case "job-reject": throw Rejection("job \(job.about) is refused")
        case "job-later" where Date().timeIntervalSince(job.filedAt) < 0.5:
            return try await lease.postpone(.milliseconds(600))
        case "job-cancel":
            _ = try await lease.transaction { work in
                try await Jobs.cancel(job.id, by: "probe", reason: "it asks for it", in: work.transaction)
            }
            return try await Task.sleep(for: .seconds(600))
        case "job-flaky" where job.tries == 0: throw ProbeError(description: "the first try fails")
        default: break
        }
        try await Task.sleep(for: .milliseconds(job.arguments.milliseconds))
        try await lease.settle { work in
            try await work.transaction.execute(
                "insert into probe.settled (job, key, instance) values (\(job.id), \(job.key), \(instance))")
            try await work.emit(RetrainDue(model: ModelID(rawValue: job.key), requestedBy: "job", reason: "\(job.id)"))
        }
    }
}

/// Runs a program that starts another, and lets both sleep.
struct ProbeProgram: JobRunner {
    struct Arguments: Codable, Sendable {
        let seconds: Int
    }

    static let kind: JobKind = "probe-program"

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let seconds = job.arguments.seconds
        // The second one hears no SIGTERM.
        let code = try await JobProgram.run(
            "/bin/sh", ["-c", "sleep \(seconds) & (trap '' TERM; sleep \(seconds)) & sleep \(seconds)"],
            environment: ["PATH": "/usr/bin:/bin"], output: "/dev/null")
        guard code == 0 else { throw Rejection("the program ended with \(code)") }
        try await lease.settle { work in
            try await work.transaction.execute(
                "insert into probe.settled (job, key, instance) values (\(job.id), \(job.key), 'program')")
        }
    }
}

/// Counts what the probe has announced.
struct Sink: Stage {
    static let name: StageName = "sink"

    func handle(_ event: Event<RetrainDue>, in work: borrowing Work) async throws {
        try await work.transaction.execute(
            """
            insert into probe.sink (event_id, cause_id, key, number)
            values (\(event.id.rawValue), \(event.envelope.causeID?.rawValue), \(event.payload.model.rawValue),
                \(Int(event.payload.reason ?? "") ?? -1))
            """)
    }
}

@main enum ProbeWorker {
    static func main() async throws {
        let role = CommandLine.arguments.last ?? "probe"
        if let client = ProbeClient(rawValue: role) { return try await client.run() }
        await Worker.run(role) { context in
            switch role {
            case "sink": WorkerParts().stage(Sink())
            default:
                WorkerParts().stage(Probe(instance: context.instance)).runner(ProbeJob(instance: context.instance))
                    .runner(ProbeProgram())
            }
        }
    }
}
