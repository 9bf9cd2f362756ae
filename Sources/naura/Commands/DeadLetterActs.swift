import ArgumentParser
import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore

/// `naura dlq redrive [ID…]`.
struct DeadLettersRedrive: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redrive", abstract: "Tries dead letters again, each once a failure.",
        discussion: """
            The same event, with the same id, goes to the one stage that gave up on it; a failed job waits again. Each in \
            a transaction of its own, with who and when on record. A second redrive of the same failure does nothing. \
            What was no readable event cannot be redriven: see the message.

            Exit code 0 when none was refused, else 1.

            Examples:
              naura dlq redrive 7 8
              naura dlq redrive --stage validate --since 2h
              naura dlq redrive --all
            """)

    @OptionGroup var look: LookOptions
    @OptionGroup var filter: DeadLetterFilter
    @Argument(help: "The dead letters' numbers.") var ids: [Int] = []
    @Flag(help: "All open ones.") var all = false

    func validate() throws {
        let isChosen = filter.stage != nil || filter.since != nil || all
        guard ids.isEmpty == isChosen else {
            throw ValidationError(
                ids.isEmpty
                    ? "name the dead letters by number, or choose them by --stage, --since or --all"
                    : "either numbers, or --stage, --since and --all")
        }
    }

    func run() async throws {
        let since = try filter.sinceDate()
        let acts = try await Connection.open(Settings.current()) { database in
            let chosen =
                ids.isEmpty ? try await DeadLetters.open(of: filter.stage, since: since, in: database) : ids
            var acts: [DeadLetterAct] = []
            for id in chosen {
                let act = try await DeadLetterAct.of(id) {
                    try await database.transaction { transaction in
                        let done = try await DeadLetters.redrive(id, by: Outgoing.actor, in: transaction)
                        if let eventID = done.recorded {
                            try await Actions.record(
                                actor: Outgoing.actor, verb: "redrive", target: "dead-letter/\(id)", reason: "",
                                eventID: eventID.isEmpty ? nil : eventID, in: transaction)
                        }
                        return done.told
                    }
                }
                acts.append(act)
                if !look.json { act.print() }
            }
            return acts
        }
        if look.json { try JSONOutput.print(acts) }
        if acts.isEmpty, !look.json { Terminal.print("no open dead letter is among those; see: naura dlq list") }
        guard !acts.contains(where: { $0.outcome == "refused" }) else { throw ExitCode.failure }
    }
}

/// `naura dlq drop ID… --reason TEXT`.
struct DeadLettersDrop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "Lets dead letters be; who, when and why go on record.",
        discussion: """
            A dropped letter stays in the list, is not counted as open any more, and cannot be redriven.

            Example:
              naura dlq drop 8 9 --reason "test data"
            """)

    @OptionGroup var look: LookOptions
    @Argument(help: "The dead letters' numbers.") var ids: [Int]
    @Option(help: "Why; goes on record.") var reason: String

    func validate() throws {
        guard !reason.allSatisfy(\.isWhitespace) else { throw ValidationError("--reason: say why") }
    }

    func run() async throws {
        let acts = try await Connection.open(Settings.current()) { database in
            var acts: [DeadLetterAct] = []
            for id in ids {
                let act = try await DeadLetterAct.of(id) {
                    try await database.transaction { transaction in
                        let done = try await DeadLetters.drop(
                            id, by: Outgoing.actor, reason: reason, in: transaction)
                        guard done == .dropped else { return done.told }
                        try await Actions.record(
                            actor: Outgoing.actor, verb: "drop", target: "dead-letter/\(id)", reason: reason,
                            eventID: nil, in: transaction)
                        return done.told
                    }
                }
                acts.append(act)
                if !look.json { act.print() }
            }
            return acts
        }
        if look.json { try JSONOutput.print(acts) }
        guard !acts.contains(where: { $0.outcome == "refused" }) else { throw ExitCode.failure }
    }
}

/// What a command did to one dead letter.
struct DeadLetterAct: Codable, Sendable {
    let id: Int
    /// `redriven`, `dropped`, `already` (done before; nothing was done now) or `refused`.
    let outcome: String
    let message: String

    /// Runs `act` on the letter `id`; what the ledger refuses becomes an answer, so that the next letter has its turn.
    static func of(
        _ id: Int, _ act: () async throws -> (outcome: String, message: String)
    ) async throws -> DeadLetterAct {
        do {
            let told = try await act()
            return DeadLetterAct(id: id, outcome: told.outcome, message: told.message)
        } catch let refusal as LedgerError {
            return DeadLetterAct(id: id, outcome: "refused", message: refusal.message)
        }
    }

    /// A refusal goes to standard error.
    func print() {
        outcome == "refused" ? Terminal.printError(message) : Terminal.print("dead letter \(id) \(message)")
    }
}

extension Redriven {
    /// The outcome and a line that tells it.
    fileprivate var told: (outcome: String, message: String) {
        switch self {
        case .event(let id): ("redriven", "redriven: event \(id) is on its way again")
        case .job(let id): ("redriven", "redriven: job \(id) waits again")
        case .already(let by, let at):
            ("already", "was redriven already, \(Moment.text(at)) by \(by), and has not failed since; nothing was done")
        }
    }

    /// The event for the record of actions, empty for a job; nil when nothing was done.
    fileprivate var recorded: String? {
        switch self {
        case .event(let id): id.rawValue
        case .job: ""
        case .already: nil
        }
    }
}

extension Dropped {
    /// The outcome and a line that tells it.
    fileprivate var told: (outcome: String, message: String) {
        switch self {
        case .dropped: ("dropped", "dropped")
        case .already(let by, let at):
            ("already", "was dropped already, \(Moment.text(at)) by \(by); nothing was done")
        }
    }
}
