import ArgumentParser
import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres

/// `naura publish TYPE`: says that something has happened.
struct Publish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Publishes an event, and prints its id once it is safe in the outbox.",
        discussion: """
            Each event can be given by its fields or whole, as JSON: --json '{…}', --json @file, --json - (standard \
            input). The same --id published twice is one event.

            Examples:
              naura publish new-data --dataset customers --uri file:///data/2026-03.csv
              naura publish code-merged --repository acme/churn --commit 4be1f09 --ref refs/heads/main --path train.py
              naura publish ground-truth --json @labels.json
            """,
        subcommands: [
            PublishNewData.self, PublishCodeMerged.self, PublishGroundTruth.self, PublishDriftAlert.self,
            PublishRetrainDue.self, PublishPredictions.self,
        ])
}

/// What all kinds of `naura publish` take.
struct PublishOptions: ParsableArguments {
    @Option(help: "The event's id; a new one where none is given.")
    var id: String?

    @Option(help: "The whole body as JSON, @FILE, or - for standard input; then no field may be given.")
    var json: String?

    @Option(help: "When it happened, RFC 3339; now where nothing is said.")
    var time: String?
}

/// One kind of event that the command line publishes.
protocol PublishCommand: AsyncParsableCommand {
    associatedtype Payload: EventPayload
    var options: PublishOptions { get }
    /// The payload from the fields' flags.
    /// - Throws: `ValidationError` when a field that must be given is missing.
    func payload() throws -> Payload
}

extension PublishCommand {
    func run() async throws {
        let time = try options.time.map { try Moment.parse($0, flag: "--time") } ?? Date()
        let id = EventID(options.id ?? Outgoing.newID())
        let event: EncodedEvent
        if let json = options.json {
            let body = try Outgoing.read(json)
            try EventSchema.validate(body, type: Payload.type)
            let subject = try Event<Payload>(
                EncodedEvent(
                    envelope: Envelope(id: id, type: Payload.type, source: Outgoing.source, subject: "", time: time),
                    body: body)
            ).payload.subject
            event = EncodedEvent(
                envelope: Envelope(
                    id: id, type: Payload.type, source: Outgoing.source, subject: subject, time: time,
                    traceparent: Outgoing.traceparent), body: body)
        } else {
            event = try EncodedEvent(
                payload(), id: id, source: Outgoing.source, time: time, traceparent: Outgoing.traceparent)
        }
        let isNew = try await Connection.open(Settings.current()) { try await Publisher.publish(event, in: $0) }
        if !isNew { Terminal.printError("an event with this id was published before; nothing was added") }
        Terminal.print(id.rawValue)
    }

    /// The value of a field that must be given.
    func required<Value>(_ value: Value?, _ flag: String) throws -> Value {
        guard let value else { throw ValidationError("\(flag) is missing (or give the whole body by --json)") }
        return value
    }
}

/// What the command line's own events share.
enum Outgoing {
    static let source = "/naura/cli"

    /// The trace context of whoever runs the command, where `TRACEPARENT` holds a valid one: what the event sets going
    /// goes on in that trace. Else the first worker begins one.
    static var traceparent: String? {
        ProcessInfo.processInfo.environment["TRACEPARENT"].flatMap { Traceparent.isValid($0) ? $0 : nil }
    }

    /// 32 random hex digits, as derived events have.
    static func newID() -> String {
        (0..<2).map { _ in String(format: "%016lx", UInt64.random(in: 0...UInt64.max)) }.joined()
    }

    /// The bytes that `--json` names: the text itself, `@FILE`, or `-`.
    static func read(_ argument: String) throws -> [UInt8] {
        if argument == "-" { return Array(try FileHandle.standardInput.readToEnd() ?? Data()) }
        if argument.hasPrefix("@") {
            let path = String(argument.dropFirst())
            guard let data = FileManager.default.contents(atPath: path) else {
                throw CommandError(.badArgument, "\(path) cannot be read")
            }
            return Array(data)
        }
        return Array(argument.utf8)
    }

    /// A data file's address: what has a scheme stays, a path becomes an absolute `file:` address.
    static func uri(_ argument: String) -> String {
        if argument.contains("://") { return argument }
        return URL(fileURLWithPath: argument).standardizedFileURL.absoluteString
    }

    /// `user@host`: who acts, for the record.
    static var actor: String {
        let user = ProcessInfo.processInfo.environment["USER"] ?? NSUserName()
        return "\(user.isEmpty ? "unknown" : user)@\(ProcessInfo.processInfo.hostName)"
    }
}

/// Times on the command line.
enum Moment {
    /// Reads an RFC 3339 time.
    /// - Throws: `ValidationError` naming the flag.
    static func parse(_ text: String, flag: String) throws -> Date {
        guard let date = CodableTimes.date(from: text) else {
            throw ValidationError("\(flag): expected a time such as 2026-03-01T00:00:00Z, found \(text)")
        }
        return date
    }

    /// `2026-03-01T00:00:00Z`: whole seconds, UTC.
    static func text(_ date: Date) -> String { CodableTimes.string(from: date).prefix(19) + "Z" }
}
