import ArgumentParser
import Foundation
import NauraData
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStore

/// `naura apply [naura.yaml]`.
struct Apply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Checks a project file whole, and records it as a version.",
        discussion: """
            All faults are listed at once, with file and line; nothing is applied unless all of it is right (exit code \
            1). New or changed feature views are computed from the data that are there. A file that says the same as \
            the latest version changes nothing.

            Examples:
              naura apply
              naura apply examples/churn/naura.yaml
            """)

    @Argument(help: "The project file.") var file: String = "naura.yaml"

    @Flag(help: "Only check it; needs nothing to be up.") var check = false

    func run() async throws {
        let project: ProjectReader.ReadProject
        do {
            project = try ProjectReader.read(path: file)
        } catch {
            for fault in error.faults { Terminal.printError("\(fault)") }
            let count = EventSummary.counted(error.faults.count, "fault")
            Terminal.printError("\(count); nothing was applied")
            throw ExitCode.failure
        }
        if check { return Terminal.print("\(file) is right") }
        let applied = try await Connection.open(Settings.current()) { database in
            try await ProjectApplication.apply(project, in: database)
        }
        Terminal.print(ProjectApplication.text(project, applied))
    }
}

/// Puts project files on record.
enum ProjectApplication {
    /// Applies `project` in one transaction: the version, what it defines, jobs for rows that must be made again, and who
    /// did it.
    static func apply(_ project: ProjectReader.ReadProject, in database: Database) async throws -> AppliedProject {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try await database.transaction { transaction in
            let applied = try await Projects.apply(
                project.definition, sha256: project.sha256, source: project.source, by: Outgoing.actor,
                in: transaction)
            let jobs = try applied.orders.map { order in
                JobRequest(
                    kind: "featurize", key: order.dataset, about: applied.about(order),
                    arguments: String(decoding: try encoder.encode(order), as: UTF8.self), priority: .backfill,
                    team: project.definition.name)
            }
            try await Jobs.file(jobs, in: transaction)
            if applied.isNew {
                try await Actions.record(
                    actor: Outgoing.actor, verb: "apply", target: "\(project.definition.name)/\(applied.version)",
                    reason: "", eventID: nil, in: transaction)
            }
            try await transaction.notify("naura_project", project.definition.name)
            return applied
        }
    }

    /// What was applied, in a sentence.
    static func text(_ project: ProjectReader.ReadProject, _ applied: AppliedProject) -> String {
        let definition = project.definition
        guard applied.isNew else { return "\(definition.name) version \(applied.version) says the same; nothing to do" }
        let parts = [
            EventSummary.counted(definition.datasets.count, "dataset"),
            EventSummary.counted(definition.featureViews.count, "feature view"),
            EventSummary.counted(definition.models.count, "model"),
        ]
        let again =
            applied.orders.isEmpty
            ? "" : "; \(EventSummary.counted(applied.orders.count, "snapshot")) will be made into rows again"
        return "applied \(definition.name) version \(applied.version): \(parts.joined(separator: ", "))\(again)"
    }
}
