import ArgumentParser
import Foundation
import NauraLedger
import NauraPostgres
import NauraStore

/// `naura dlq`: what failed for good, and what is done about it.
struct DeadLettersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dlq", abstract: "Shows what failed for good and why, tries it again, or lets it be.",
        discussion: """
            A dead letter is open until it is redriven (the same event or job is tried again, once for each failure) or \
            dropped. Who did it, and when, goes on record. One that fails again is opened again and keeps its history.

            Examples:
              naura dlq list --state open
              naura dlq show 7
              naura dlq redrive 7
              naura dlq redrive --stage validate --since 2h
              naura dlq drop 8 9 --reason "test data"
            """,
        subcommands: [DeadLettersList.self, DeadLettersShow.self, DeadLettersRedrive.self, DeadLettersDrop.self],
        defaultSubcommand: DeadLettersList.self)
}

/// Which dead letters a command is about.
struct DeadLetterFilter: ParsableArguments {
    @Option(help: "Only those of this stage, or kind of job.") var stage: String?
    @Option(help: "Only those that failed since then: RFC 3339, or how long ago (90s, 10m, 2h, 1d).") var since: String?

    /// `--since` as a moment.
    func sinceDate(now: Date = Date()) throws -> Date? {
        guard let since else { return nil }
        if since.contains("T") { return try Moment.parse(since, flag: "--since") }
        return now.addingTimeInterval(-(try Span.parse(since, flag: "--since").seconds))
    }
}

/// `naura dlq list`.
struct DeadLettersList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists dead letters, the oldest first.",
        discussion: """
            Examples:
              naura dlq list --state open
              naura dlq list --stage train --json
            """)

    @OptionGroup var look: LookOptions
    @OptionGroup var filter: DeadLetterFilter
    @Option(help: "Only those that are open, redriven or dropped.") var state: DeadLetterState?
    @Option(help: "How many of the latest.") var limit: Int = 50

    func run() async throws {
        let since = try filter.sinceDate()
        let rows = try await Connection.open(Settings.current()) { database in
            try await DeadLetters.list(
                state: state, stage: filter.stage, since: since, limit: limit, in: database)
        }
        if look.json {
            return try JSONOutput.print(
                rows, keys: ["topic", "event_id", "root_id", "decided_by", "decided_at", "reason"])
        }
        var table = TextTable([
            ("ID", .right), ("FAILED", .left), ("STAGE", .left), ("STATE", .left), ("TIMES", .right), ("CODE", .left),
            ("EVENT", .left), ("MESSAGE", .left),
        ])
        for row in rows {
            table.add([
                "\(row.id)", TimeOfDay.short(row.failedAt), row.stage, row.state.rawValue, "\(row.failures)", row.code,
                row.eventID ?? "", row.message,
            ])
        }
        table.print()
    }
}

extension DeadLetterState: ExpressibleByArgument {}

/// `naura dlq show ID`.
struct DeadLettersShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows one dead letter with its record and its history.",
        discussion: """
            Examples:
              naura dlq show 7
              naura dlq show 7 --body > record.json
            """)

    @OptionGroup var look: LookOptions
    @Argument(help: "The dead letter's number.") var id: Int
    @Flag(help: "Print only the record's value, byte for byte.") var body = false

    func run() async throws {
        let (letter, isSettled) = try await Connection.open(Settings.current()) { database in
            try await database.transaction { transaction in
                guard let letter = try await DeadLetters.find(id, in: transaction) else {
                    throw CommandError(.notFound, "no dead letter \(id); see: naura dlq list")
                }
                return (letter, try await DeadLetters.isSettled(letter, in: transaction))
            }
        }
        if body {
            FileHandle.standardOutput.write(Data(letter.body ?? []))
        } else if look.json {
            try JSONOutput.print(
                DeadLetterDocument(letter, isSettled: isSettled),
                keys: ["event_id", "root_id", "topic", "partition", "offset", "key", "body"])
        } else {
            DeadLettersShow.show(letter, isSettled: isSettled)
        }
    }

    private static func show(_ letter: DeadLetterDetail, isSettled: Bool) {
        let thing = letter.topic.map { "an event of \($0)" } ?? "a job"
        Terminal.print("dead letter \(letter.id): \(letter.stage) gave up on \(thing)")
        func line(_ name: String, _ value: String?) {
            guard let value, !value.isEmpty else { return }
            Terminal.print(
                "  \(Terminal.dim(name.padding(toLength: max(15, name.count), withPad: " ", startingAt: 0))) \(value)")
        }
        let times = letter.failures == 1 ? "" : ", failed \(letter.failures) times"
        let settled = isSettled ? " and handled since" : ""
        line("state", "\(letter.state.rawValue)\(settled)\(times)")
        line("failed", "\(Moment.text(letter.failedAt)) after \(EventSummary.counted(letter.tries, "try", "tries"))")
        line("why", "\(letter.code): \(letter.message)")
        line("event", letter.eventID)
        line("root", letter.rootID)
        if let partition = letter.partition, let offset = letter.offset {
            line("record", "partition \(partition), offset \(offset)")
        }
        line("key", letter.key.map { String(decoding: $0, as: UTF8.self) })
        for (name, value) in letter.headers.sorted(by: { $0.key < $1.key }) { line(name, value) }
        if let body = letter.body {
            line(letter.isJob ? "arguments" : "body", String(decoding: body.prefix(2_000), as: UTF8.self))
            if body.count > 2_000 { line("", "… \(body.count) bytes in all: naura dlq show \(letter.id) --body") }
        }
        guard !letter.history.isEmpty else { return }
        Terminal.print("  history")
        for entry in letter.history {
            Terminal.print("    failed \(Moment.text(entry.failedAt)): \(entry.code): \(entry.message)")
            let reason = entry.reason.map { ": \($0)" } ?? ""
            Terminal.print("    \(entry.verb.rawValue) \(Moment.text(entry.decidedAt)) by \(entry.actor)\(reason)")
        }
    }
}

/// A dead letter as `show --json` prints it.
private struct DeadLetterDocument: Encodable {
    let id: Int
    let stage: String
    let state: DeadLetterState
    /// Whether the work has been settled since it was redriven.
    let isSettled: Bool
    let failures: Int
    let failedAt: Date
    let code: String
    let message: String
    let tries: Int
    let eventID: String?
    let rootID: String?
    let topic: String?
    let partition: Int?
    let offset: Int?
    let key: String?
    let headers: [String: String]
    /// The value as text; null where it is no UTF-8, for which there is `--body`.
    let body: String?
    let history: [DeadLetterDecision]

    private enum CodingKeys: String, CodingKey {
        case id, stage, state, failures, code, message, tries, topic, partition, offset, key, headers, body, history
        case isSettled = "is_settled"
        case failedAt = "failed_at"
        case eventID = "event_id"
        case rootID = "root_id"
    }

    init(_ letter: DeadLetterDetail, isSettled: Bool) {
        id = letter.id
        stage = letter.stage
        state = letter.state
        self.isSettled = isSettled
        failures = letter.failures
        failedAt = letter.failedAt
        code = letter.code
        message = letter.message
        tries = letter.tries
        eventID = letter.eventID
        rootID = letter.rootID
        topic = letter.topic
        partition = letter.partition
        offset = letter.offset
        key = letter.key.map { String(decoding: $0, as: UTF8.self) }
        headers = letter.headers
        body = letter.body.flatMap { String(validating: $0, as: UTF8.self) }
        history = letter.history
    }
}
