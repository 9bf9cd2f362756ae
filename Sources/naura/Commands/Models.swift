import ArgumentParser
import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore

/// `naura models`: the registry, and promotion by hand.
struct Models: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists models and versions; promotes one by hand.",
        discussion: """
            Examples:
              naura models
              naura models promote churn 4 --reason "agreed with sales"
            """,
        subcommands: [ModelsList.self, ModelsPromote.self], defaultSubcommand: ModelsList.self)
}

/// `naura models list`.
struct ModelsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists models and their versions.")

    @OptionGroup var look: LookOptions

    func run() async throws {
        let models = try await Connection.open(Settings.current()) { try await Overview.models(in: $0) }
        if look.json { return try JSONOutput.print(models, keys: ["champion"]) }
        var table = TextTable([
            ("MODEL", .left), ("VERSION", .right), ("STATE", .left), ("MADE", .left), ("BY", .left),
            ("TRAINING SET", .left), ("DIGEST", .left), ("RUN", .left),
        ])
        for model in models {
            if model.versions.isEmpty { table.add([model.name, "", "", "", "", "", "", ""]) }
            for version in model.versions {
                table.add([
                    model.name, "\(version.version)", version.state, TimeOfDay.short(version.createdAt), version.actor,
                    String(version.trainingSet?.prefix(12) ?? ""), String(version.digest.prefix(12)),
                    version.run ?? "",
                ])
            }
        }
        table.print()
    }
}

/// `naura models promote`.
struct ModelsPromote: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote", abstract: "Lets a version past the gate by hand, into a rollout.",
        discussion: """
            It skips the gate, never the canary: the rollout still decides on evidence, and takes the version back when \
            it does harm. Who and why go on record. Prints the id of the event, for `naura wait`.

            Example:
              naura models promote churn 4 --reason "agreed with sales"
            """)

    @Argument(help: "The model.") var model: String
    @Argument(help: "The version's number.") var number: Int
    @Option(help: "Why; goes on record.") var reason: String = "by hand"

    func run() async throws {
        let id = try await Connection.open(Settings.current()) { database in
            try await Promotion.request(model: model, version: number, reason: reason, in: database)
        }
        Terminal.print(id.rawValue)
    }
}

/// `naura retrain`.
struct Retrain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Asks for a training by hand; who and why go on record.",
        discussion: """
            Prints the id of the event, for `naura wait`. When data, code and parameters are the champion's, it ends as \
            unchanged.

            Example:
              naura wait $(naura retrain churn --reason "new tariff next week")
            """)

    @Argument(help: "The model.") var model: String
    @Option(help: "Why.") var reason: String

    func run() async throws {
        let payload = RetrainDue(model: ModelID(model), requestedBy: Outgoing.actor, reason: reason)
        let id = EventID(Outgoing.newID())
        let event = try EncodedEvent(
            payload, id: id, source: Outgoing.source, time: Date(), traceparent: Outgoing.traceparent)
        try await Connection.open(Settings.current()) { database in
            let known = try await Overview.models(in: database).map(\.name)
            guard known.contains(model) else {
                throw CommandError(.notFound, "no model \(model); there are: \(known.joined(separator: ", "))")
            }
            try await database.transaction { transaction in
                try await Publisher.publish(event, in: transaction)
                try await Actions.record(
                    actor: Outgoing.actor, verb: "retrain", target: model, reason: reason, eventID: id.rawValue,
                    in: transaction)
            }
        }
        Terminal.print(id.rawValue)
    }
}
