import ArgumentParser
import Foundation
import NauraLedger
import NauraPostgres

/// `naura workers`.
struct WorkersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workers",
        abstract: "Shows who holds what, how far each stage is behind, and what is stuck and why.",
        discussion: """
            Instances with their partitions and jobs; for each stage the events that are not handled and how long the \
            oldest has waited, as the broker knows it; and what stands still, with the reason.

            Examples:
              naura workers
              naura workers --json
            """)

    @OptionGroup var look: LookOptions

    func run() async throws {
        let settings = try Settings.current()
        let report = try await Connection.open(settings) { try await WorkersReport.read(settings, from: $0) }
        if look.json { return try JSONOutput.print(report) }
        WorkersCommand.show(report)
    }

    private static func show(_ report: WorkersReport) {
        var workers = TextTable([
            ("WORKER", .left), ("STATE", .left), ("PID", .right), ("UP", .right), ("LAG", .right),
            ("PARTITIONS", .left),
            ("JOBS", .left),
        ])
        for worker in report.workers {
            workers.add([
                worker.name, worker.state, "\(worker.pid)", WorkersReport.spoken(worker.upSeconds), "\(worker.lag)",
                partitions(worker.partitions), worker.leases.map(lease).joined(separator: "; "),
            ])
        }
        workers.print()
        Terminal.print()
        var stages = TextTable([
            ("STAGE", .left), ("WORKER", .left), ("TOPIC", .left), ("HELD", .right), ("LAG", .right),
            ("OLDEST", .right),
        ])
        for stage in report.stages {
            stages.add([
                stage.stage, stage.worker, stage.topic, "\(stage.held) of \(stage.partitions)",
                stage.lag.map(String.init) ?? "?", stage.oldestSeconds.map(WorkersReport.spoken) ?? "",
            ])
        }
        stages.print()
        Terminal.print()
        guard !report.stuck.isEmpty else { return Terminal.print("nothing is stuck") }
        Terminal.print(Terminal.bold("stuck"))
        for one in report.stuck {
            let age = one.seconds.map { " for \(WorkersReport.spoken($0))" } ?? ""
            Terminal.print("  \(Terminal.red(one.subject))\(age): \(one.why)")
        }
    }

    /// `new-data 0 1 2 3 (12 behind)`.
    private static func partitions(_ held: [WorkersReport.HeldPartition]) -> String {
        Dictionary(grouping: held, by: \.topic).sorted { $0.key < $1.key }.map { topic, parts in
            let numbers = parts.map { "\($0.partition)" }.joined(separator: " ")
            let lag = parts.compactMap(\.lag).reduce(0, +)
            return "\(topic) \(numbers)" + (lag > 0 ? " (\(lag) behind)" : "")
        }.joined(separator: ", ")
    }

    /// `train churn, 12 s: round 40 of 200`.
    private static func lease(_ lease: LeaseRow) -> String {
        "\(lease.kind) \(lease.key), \(WorkersReport.spoken(lease.ageSeconds))"
            + (lease.progress.map { ": \($0)" } ?? "")
    }
}
