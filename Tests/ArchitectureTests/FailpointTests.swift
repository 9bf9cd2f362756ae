// Every durable step has a failpoint beside it, every failpoint is reached somewhere, and the list in
// docs/reliability.md is the list of the code. `NAURA_WRITE_DOCS=1 swift test --filter FailpointTests` writes it anew.

import Foundation
@testable import NauraFailpoints
import Testing

@Suite("The moments at which a process can die")
struct FailpointTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Calls that make something last: after each of them a death finds another world than before it.
    private static let durableSteps = [
        #"Streams\.(take|release|mark|leaseShared|releaseShared)\("#,
        #"Jobs\.(claim|renew|settle|postpone|fail|endCancelled)\("#,
        #"Attempts\.begin\("#, #"Inbox\.(ensure|prune)\("#, #"Outbox\.(append|prune)\("#,
        #"(Jobs|ForeignEvents)\.prune\("#,
        #"database\.transaction[ ({]"#,
        #"producer\.deliver\("#, #"consumer\.commit\("#, #"createTopics\("#, #"[^A-Za-z](FileSystem\.)?rename\("#,
        #"\.moveItem\("#, #"options: \.atomic"#, #"fsync\("#,
    ]

    /// Rooms in which every transaction wants a failpoint of its own; elsewhere the two inside `Database.transaction`
    /// stand for it.
    private static let roomsOfTheRuntime = ["NauraStage", "NauraLedger"]

    /// Functions with a durable step and without a failpoint, and why.
    private static let exceptions = [
        "Sources/NauraStage/JobRunner.swift flushShared": "the end of a transaction whose opener has failpoints",
        "Sources/NauraStage/PartitionRelay.swift append": "the end of a transaction whose opener has failpoints",
        "Sources/NauraLedger/Outbox.swift publish": "part of the caller's transaction",
        "Sources/NauraLedger/DeadLetterDecisions.swift redrive": "part of the caller's transaction",
        "Sources/NauraLedger/Streams.swift take": "its callers have failpoints on both sides",
        "Sources/NauraLedger/Inbox.swift prune": "its caller has a failpoint behind it; it is repeated within an hour",
        "Sources/NauraLedger/WorkerRegistry.swift observe": "its caller has a failpoint behind it",
        "Sources/NauraLedger/History.swift tell": "part of the caller's transaction",
        "Sources/NauraStage/Replayer.swift run": "a copy: entered again at the next start",
        "Sources/NauraStage/Replayer.swift read":
            "a copy: place and effects are one transaction, and nothing is sent or committed elsewhere",
        "Sources/NauraStage/Replayer.swift tell":
            "a copy: place and effects are one transaction, and nothing is sent or committed elsewhere",
        "Sources/NauraStage/ReplayCourse.swift run": "a copy: one that is not whole is made again",
        "Sources/NauraStage/ReplayCourse.swift tellInputs": "a copy: one that is not whole is made again",
        "Sources/NauraData/FileSystem.swift rename": "the rename itself; its callers have failpoints",
        "Sources/NauraData/FileSystem.swift syncDirectory": "the sync itself; its callers have failpoints",
        "Sources/NauraKafka/LocalBroker.swift start": "the laptop's broker, which keeps nothing",
        "Sources/naura/Supervisor/BrokerQuestions.swift makeTopics":
            "asked again at the next start, and by each worker",
        "Sources/naura/State/StateFolder.swift write": "what `naura up` started; looked at again at the next start",
    ]

    private struct Function { let name: String; let body: [Substring] }

    @Test("a durable step has a failpoint in its function, or a reason why not")
    func stepsHaveFailpoints() throws {
        let patterns = try Self.durableSteps.map { try Regex($0) }
        var (faults, excused) = ([String](), Set<String>())
        for file in try Self.sources() {
            let isRuntime = Self.roomsOfTheRuntime.contains { file.contains("/\($0)/") }
            for function in try Self.functions(in: file) {
                let code = function.body.filter { !$0.drop(while: { $0 == " " }).hasPrefix("//") }
                let steps = patterns.enumerated().filter { place, pattern in
                    (isRuntime || !Self.durableSteps[place].hasPrefix("database"))
                        && code.dropFirst().contains { $0.contains(pattern) }
                }.map { Self.durableSteps[$0.offset] }
                guard !steps.isEmpty, !code.contains(where: { $0.contains("Failpoint.") }) else { continue }
                let place = "\(file) \(function.name)"
                if Self.exceptions[place] != nil { excused.insert(place) } else { faults.append("\(place): \(steps)") }
            }
        }
        #expect(
            faults.isEmpty,
            "each wants `Failpoint.….reach()`, or a reason in this test:\n\(faults.joined(separator: "\n"))")
        let idle = Set(Self.exceptions.keys).subtracting(excused).sorted()
        #expect(idle.isEmpty, "these reasons excuse nothing any more:\n\(idle.joined(separator: "\n"))")
    }

    @Test("every failpoint is reached somewhere, and none under a name that the list lacks")
    func failpointsAreReached() throws {
        let places = try Self.places()
        let missing = Failpoint.allCases.map { "\($0)" }.filter { places[$0] == nil }
        #expect(missing.isEmpty, "never reached: \(missing)")
        #expect(Set(Failpoint.allCases.map(\.rawValue)).count == Failpoint.allCases.count)
    }

    @Test("docs/reliability.md lists the failpoints as the code has them")
    func listIsFresh() throws {
        let places = try Self.places()
        let rows = Failpoint.allCases.map { failpoint in
            "| `\(failpoint.rawValue)` | \(places["\(failpoint)"]?.joined(separator: ", ") ?? "") | \(failpoint.meaning) |"
        }
        let list = (["| failpoint | in | when a process dies there |", "| --- | --- | --- |"] + rows)
            .joined(separator: "\n")
        let file = Self.root.appending(path: "docs/reliability.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        let (start, end) = ("<!-- failpoints -->\n", "\n<!-- /failpoints -->")
        let opening = try #require(text.range(of: start))
        let closing = try #require(text.range(of: end))
        if ProcessInfo.processInfo.environment["NAURA_WRITE_DOCS"] != nil {
            let fresh = text[..<opening.upperBound] + list + text[closing.lowerBound...]
            try Data(fresh.utf8).write(to: file)
        } else {
            #expect(
                text[opening.upperBound..<closing.lowerBound] == list,
                "stale; NAURA_WRITE_DOCS=1 swift test --filter FailpointTests writes it anew")
        }
    }

    @Test("NAURA_FAILPOINT is read as name, action and number, and anything else is refused with a reason")
    func parsing() throws {
        let armed = try ArmedFailpoints.parse("job-claimed=kill@3,batch-opened=stop")
        #expect(armed[.jobClaimed]?.action == .kill && armed[.jobClaimed]?.number == 3)
        #expect(armed[.batchOpened]?.action == .stop && armed[.batchOpened]?.number == 1)
        for text in ["job-claimed", "no-such=kill", "job-claimed=explode", "job-claimed=kill@0", "job-claimed=kill@x"] {
            #expect(throws: ArmedFailpoints.Fault.self) { try ArmedFailpoints.parse(text) }
        }
    }

    // MARK: - Reading the tree

    /// Which files reach each failpoint, by its name in the code.
    private static func places() throws -> [String: [String]] {
        var places: [String: [String]] = [:]
        for file in try sources() {
            let text = try String(contentsOf: root.appending(path: file), encoding: .utf8)
            for match in text.matches(of: /Failpoint\.(\w+)\.reach\(\)/) {
                let name = "\(URL(filePath: file).deletingPathExtension().lastPathComponent)"
                if places[String(match.output.1)]?.contains(name) != true {
                    places[String(match.output.1), default: []].append(name)
                }
            }
        }
        return places
    }

    private static func sources() throws -> [String] {
        try ["Sources", "workers"].flatMap { parent in
            try FileManager.default.subpathsOfDirectory(atPath: root.appending(path: parent).path)
                .filter {
                    $0.hasSuffix(".swift") && !$0.hasPrefix("NauraTestKit/") && !$0.hasPrefix("NauraFailpoints/")
                }
                .sorted().map { "\(parent)/\($0)" }
        }
    }

    /// The functions of a file, found by their indentation, which the formatter keeps; nested ones belong to their outer.
    private static func functions(in file: String) throws -> [Function] {
        let lines = try String(contentsOf: root.appending(path: file), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
        var functions: [Function] = []
        var place = 0
        while place < lines.count {
            guard let match = lines[place].firstMatch(of: /^( *)(?:@\S+ )*(?:[a-z()]+ )*(?:func (\w+)|(init)\b)/) else {
                place += 1
                continue
            }
            let indentation = match.output.1
            let isShort = lines[place].hasSuffix("}")
            let end = isShort ? place : lines[(place + 1)...].firstIndex { $0.hasPrefix("\(indentation)}") } ?? place
            functions.append(
                Function(name: String(match.output.2 ?? match.output.3 ?? ""), body: Array(lines[place...end])))
            place = end + 1
        }
        return functions
    }
}
