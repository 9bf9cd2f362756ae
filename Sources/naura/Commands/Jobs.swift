import ArgumentParser
import Foundation
import NauraLedger
import NauraPostgres
import NauraStore

/// `naura jobs`: what runners do and will do.
struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "Lists jobs that run or wait; cancels one.",
        discussion: """
            A job is work that takes longer than a moment: fetching, training, scoring, sending. Jobs of one dataset or \
            model run one at a time, in the order in which they were filed.

            Examples:
              naura jobs
              naura jobs cancel 1234 --reason "the wrong file"
            """,
        subcommands: [JobsList.self, JobsCancel.self], defaultSubcommand: JobsList.self)
}

/// `naura jobs list`.
struct JobsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists jobs that run or wait, and those that ended within the last minute.")

    @OptionGroup var look: LookOptions

    func run() async throws {
        let jobs = try await Connection.open(Settings.current()) { try await LedgerOverview.jobs(in: $0) }
        if look.json {
            return try JSONOutput.print(
                jobs, keys: ["owner", "progress", "started_at", "ended_at", "failure", "root_id"])
        }
        var table = TextTable([
            ("ID", .right), ("KIND", .left), ("KEY", .left), ("STATE", .left), ("TRIES", .right), ("DUE", .left),
            ("SAYS", .left),
        ])
        for job in jobs {
            table.add([
                "\(job.id)", job.kind, job.key, job.state, "\(job.tries)", TimeOfDay.short(job.dueAt),
                job.failure ?? job.progress ?? "",
            ])
        }
        table.print()
    }
}

/// `naura jobs cancel`.
struct JobsCancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Ends a job that waits or runs.",
        discussion: """
            Its runner stops it and ends it as cancelled; a snapshot, training or version that the job was to settle ends \
            as failed, with the reason. Who and why go on record. Waits until it has ended.

            Exit codes: 0 it has ended as cancelled; 1 there is no such job, or it had ended before; 4 no runner of its \
            kind has ended it yet, and one will as soon as it runs.

            Example:
              naura jobs cancel 1234 --reason "the wrong file"
            """)

    /// A runner hears of it at once, and stops a job within three seconds.
    private static let patience: Duration = .seconds(10)

    @Argument(help: "The job's number, as `naura jobs` shows it.") var id: Int
    @Option(help: "Why.") var reason: String

    func run() async throws {
        let state = try await Connection.open(Settings.current()) { database in
            let outcome = try await database.transaction { transaction in
                let outcome = try await Jobs.cancel(id, by: Outgoing.actor, reason: reason, in: transaction)
                if outcome == .requested {
                    try await Actions.record(
                        actor: Outgoing.actor, verb: "cancel", target: "job/\(id)", reason: reason, eventID: nil,
                        in: transaction)
                }
                return outcome
            }
            switch outcome {
            case .unknown: throw CommandError(.notFound, "there is no job \(id)")
            case .ended(let state): throw CommandError(.refused, "job \(id) has ended before, as \(state)")
            case .requested, .alreadyRequested: break
            }
            var state: String?
            _ = try await Watch.until(timeout: Self.patience, every: .milliseconds(100)) {
                state = try await LedgerOverview.state(ofJob: id, in: database)
                return state != "waiting" && state != "running"
            }
            return state ?? "gone"
        }
        switch state {
        case "cancelled": Terminal.print("job \(id) is cancelled")
        case "waiting", "running":
            Terminal.print("job \(id) will be cancelled as soon as a runner of its kind is there")
            throw ExitCode.timedOut
        default:
            Terminal.printError("job \(id) ended as \(state) before it could be cancelled")
            throw ExitCode.failure
        }
    }
}
