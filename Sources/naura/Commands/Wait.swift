import ArgumentParser
import Foundation

/// `naura wait EVENT`: follows what an event sets going.
struct Wait: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Follows what an event sets going, step by step, until it has ended.",
        discussion: """
            Through validation, features, triggers folded into one training, the gate and the rollout, to the gateway \
            that serves the new route. An id that is not known yet is waited for.

            Exit codes: 0 promoted, passed the gate and waits for a person (after a backfill), or nothing to do (says \
            which and why); 3 rejected, rolled back or failed for good \
            (says why); 4 timed out.

            Examples:
              naura wait $(naura publish new-data --dataset customers --uri march.csv)
              naura wait 5f0c2ab4… --timeout 2m
            """)

    @Argument(help: "The event's id, as `naura publish` printed it.")
    var event: String

    @Option(help: "How long to wait: 90s, 10m, 2h.")
    var timeout: String = "10m"

    func run() async throws {
        let limit = try Span.parse(timeout, flag: "--timeout")
        let outcome: ChainOutcome? = try await Connection.open(Settings.current()) { database in
            var watcher = ChainWatcher(event, database: database)
            var outcome: ChainOutcome?
            var isTold = false
            let start = ContinuousClock.now
            _ = try await Watch.until(timeout: limit, every: .milliseconds(100)) {
                outcome = try await watcher.look { Terminal.print(Wait.line($0)) }
                if watcher.event == nil, !isTold, ContinuousClock.now - start > .seconds(2) {
                    Terminal.progress("no event \(event) yet; waiting for it")
                    isTold = true
                }
                return outcome != nil
            }
            return outcome
        }
        switch outcome {
        case .promoted(let what): Terminal.print("\(Terminal.green("promoted")): \(what)")
        case .passed(let what): Terminal.print("\(Terminal.green("passed")): \(what)")
        case .nothingToDo(let why): Terminal.print("\(Terminal.green("nothing to do")): \(why)")
        case .rejected(let why):
            Terminal.print("\(Terminal.red("rejected")): \(why)")
            throw ExitCode.rejected
        case nil:
            Terminal.print("\(Terminal.red("timed out")) after \(timeout)")
            throw ExitCode.timedOut
        }
    }

    /// `+   0.41 s  validate    data-validated  customers, 2,000 rows`.
    static func line(_ step: ChainWatcher.Step) -> String {
        let elapsed = String(format: "%+9.2f s", step.elapsed)
        return
            "\(Terminal.dim(elapsed))  \(step.worker.padding(toLength: 10, withPad: " ", startingAt: 0))  \(step.what)"
    }
}

/// Spans of time on the command line.
enum Span {
    /// Reads `250ms`, `90s`, `10m`, `2h`, `1d`; a bare number counts seconds.
    /// - Throws: `ValidationError` naming the flag.
    static func parse(_ text: String, flag: String) throws -> Duration {
        let units: [(String, Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
        for (unit, seconds) in units where text.hasSuffix(unit) {
            guard let count = Double(text.dropLast(unit.count)) else { continue }
            guard count > 0, count.isFinite else { break }
            return .seconds(count * seconds)
        }
        if let count = Double(text), count > 0, count.isFinite { return .seconds(count) }
        throw ValidationError("\(flag) \(text): expected a time such as 90s, 10m or 2h")
    }
}
