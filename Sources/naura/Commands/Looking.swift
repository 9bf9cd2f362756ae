import ArgumentParser
import Foundation
import NauraLedger
import NauraPostgres
import NauraStore

/// What the commands that only look have in common.
struct LookOptions: ParsableArguments {
    @Flag(help: "Print JSON for programs: an array of objects, the oldest first.")
    var json = false
}

/// `naura status`.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows workers and how far behind they are, broker and database.",
        discussion: """
            Exit code 0 when broker and database answer, else 1.

            Examples:
              naura status
              naura status --json
            """)

    @OptionGroup var look: LookOptions

    func run() async throws {
        let settings = try Settings.current()
        async let broker = StatusCommand.broker(settings)
        let report = try await StatusCommand.report(settings, broker: await broker)
        if look.json {
            try JSONOutput.print(report)
        } else {
            StatusCommand.show(report)
        }
        guard report.broker.state == "up", report.database.state == "up" else { throw ExitCode.failure }
    }

    private static func report(_ settings: Settings, broker: ServerRow) async throws -> StatusReport {
        do {
            return try await Connection.open(settings) { database in
                let report = try await LedgerOverview.status(in: database)
                return StatusReport(
                    workers: report.workers,
                    broker: ServerRow(state: broker.state, name: broker.name ?? report.broker.name),
                    database: report.database, outboxDepth: report.outboxDepth, deadLetters: report.deadLetters)
            }
        } catch let error as PostgresError where error.isTransient {
            Terminal.printError("\(error)")
            return StatusReport(
                workers: [], broker: broker, database: ServerRow(state: "away", name: nil), outboxDepth: 0,
                deadLetters: 0)
        }
    }

    /// The broker, asked itself: what the database remembers of it may be of yesterday.
    private static func broker(_ settings: Settings) async -> ServerRow {
        guard let kafka = settings.kafka else { return ServerRow(state: "unknown", name: nil) }
        do {
            return ServerRow(state: "up", name: try await BrokerQuestions.clusterID(kafka))
        } catch {
            Terminal.printError("\(error)")
            return ServerRow(state: "away", name: nil)
        }
    }

    private static func show(_ report: StatusReport) {
        var table = TextTable([
            ("WORKER", .left), ("STATE", .left), ("PID", .right), ("LAG", .right), ("HEALTH", .left),
            ("SINCE", .left), ("INSTANCE", .left),
        ])
        for worker in report.workers {
            table.add([
                worker.name, worker.state, "\(worker.pid)", "\(worker.lag)", worker.address ?? "",
                TimeOfDay.short(worker.startedAt), worker.instance,
            ])
        }
        table.print()
        Terminal.print()
        Terminal.print("broker    \(report.broker.state)  \(report.broker.name ?? "")")
        Terminal.print("database  \(report.database.state)  \(report.database.name ?? "")")
        Terminal.print("outbox    \(EventSummary.counted(report.outboxDepth, "event")) to send")
        if report.deadLetters > 0 {
            Terminal.print("failed    \(EventSummary.counted(report.deadLetters, "dead letter")); see: naura dlq list")
        }
    }
}

/// `naura events`.
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Lists the latest events.",
        discussion: """
            Examples:
              naura events --type model-promoted
              naura events --root $ID --json
            """)

    @OptionGroup var look: LookOptions
    @Option(help: "Only events of this type.") var type: String?
    @Option(help: "Only the chain that began with this event.") var root: String?
    @Option(help: "How many.") var limit: Int = 100

    func run() async throws {
        let rows = try await Connection.open(Settings.current()) { database in
            try await LedgerOverview.events(type: type, root: root, limit: limit, in: database)
        }
        if look.json { return try JSONOutput.print(rows, keys: ["cause_id"]) }
        var table = TextTable([
            ("TIME", .left), ("TYPE", .left), ("SUBJECT", .left), ("FROM", .left), ("ID", .left), ("CAUSE", .left),
        ])
        for row in rows {
            table.add([
                TimeOfDay.short(row.time), row.type, row.subject, EventSummary.worker(of: row), row.id,
                row.causeID ?? "",
            ])
        }
        table.print()
    }
}

/// `naura runs`.
struct RunsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs", abstract: "Lists trainings with their data, package and metrics.",
        discussion: """
            Examples:
              naura runs --model churn
              naura runs --json
            """)

    @OptionGroup var look: LookOptions
    @Option(help: "Only runs of this model.") var model: String?
    @Option(help: "How many.") var limit: Int = 100

    func run() async throws {
        let rows = try await Connection.open(Settings.current()) { database in
            try await Overview.runs(model: model, limit: limit, in: database)
        }
        if look.json {
            return try JSONOutput.print(
                rows, keys: ["model", "version", "training_set", "digest", "code_commit", "ended_at"])
        }
        var table = TextTable([
            ("STARTED", .left), ("MODEL", .left), ("VERSION", .right), ("STATE", .left), ("TOOK", .right),
            ("TRAINING SET", .left), ("DIGEST", .left), ("CAUSES", .right), ("METRICS", .left), ("RUN", .left),
        ])
        for row in rows {
            let took = row.endedAt.map { Duration.seconds($0.timeIntervalSince(row.startedAt)).spoken }
            let metrics = row.metrics.sorted { $0.key < $1.key }.prefix(3)
                .map { "\($0.key) \(String(format: "%.4f", $0.value))" }.joined(separator: ", ")
            table.add([
                TimeOfDay.short(row.startedAt), row.model ?? "", row.version.map(String.init) ?? "", row.state,
                took ?? "", String(row.trainingSet?.prefix(12) ?? ""), String(row.digest?.prefix(12) ?? ""),
                "\(row.causes.count)", metrics, row.id,
            ])
        }
        table.print()
    }
}

/// `naura rollouts`.
struct RolloutsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollouts", abstract: "Lists rollouts with their weight and what the evidence says.",
        discussion: """
            Example:
              naura rollouts --model churn
            """)

    @OptionGroup var look: LookOptions
    @Option(help: "Only rollouts of this model.") var model: String?
    @Option(help: "How many.") var limit: Int = 100

    func run() async throws {
        let rows = try await Connection.open(Settings.current()) { database in
            try await Overview.rollouts(model: model, limit: limit, in: database)
        }
        if look.json { return try JSONOutput.print(rows, keys: ["baseline", "step_started_at", "ended_at"]) }
        var table = TextTable([
            ("ID", .right), ("MODEL", .left), ("VERSION", .right), ("FROM", .right), ("STATE", .left),
            ("WEIGHT", .right), ("BY", .left), ("VERDICT", .left), ("REASON", .left),
        ])
        for row in rows {
            table.add([
                "\(row.id)", row.model, "\(row.version)", row.baseline.map(String.init) ?? "", row.state,
                "\((row.weight * 1_000).rounded() / 10) %", row.actor, row.verdict, row.reason,
            ])
        }
        table.print()
    }
}

/// `naura drift`.
struct DriftCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drift", abstract: "Shows how far live traffic is from what each model was trained on.",
        discussion: """
            The columns of each model's last closed window, the farthest first, and the alerts.

            Example:
              naura drift --model churn
            """)

    @OptionGroup var look: LookOptions
    @Option(help: "Only this model.") var model: String?

    func run() async throws {
        let (rows, alerts) = try await Connection.open(Settings.current()) { database in
            (
                try await Overview.drift(model: model, in: database),
                try await Overview.alerts(in: database).filter { model == nil || $0.model == model }
            )
        }
        if look.json { return try JSONOutput.print(rows) }
        var table = TextTable([
            ("MODEL", .left), ("VERSION", .right), ("WINDOW", .left), ("ROWS", .right), ("COLUMN", .left),
            ("METHOD", .left), ("STATISTIC", .right), ("THRESHOLD", .right), ("DRIFTED", .left),
        ])
        for row in rows {
            table.add([
                row.model, "\(row.version)", TimeOfDay.short(row.windowFrom), "\(row.rows)", row.column, row.method,
                String(format: "%.4f", row.statistic), String(format: "%.4f", row.threshold),
                row.isDrifted ? "yes" : "no",
            ])
        }
        table.print()
        guard !alerts.isEmpty else { return }
        Terminal.print()
        var list = TextTable([
            ("ALERT", .right), ("MODEL", .left), ("VERSION", .right), ("KIND", .left), ("STATE", .left),
            ("OPENED", .left), ("RESOLVED", .left),
        ])
        for alert in alerts {
            list.add([
                "\(alert.id)", alert.model, "\(alert.version)", alert.kind, alert.state,
                TimeOfDay.short(alert.openedAt), alert.resolvedAt.map(TimeOfDay.short) ?? "",
            ])
        }
        list.print()
    }
}
