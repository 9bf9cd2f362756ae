import ArgumentParser
import Foundation
import NauraEvents
import NauraPostgres
import NauraStore

/// `naura backfill DATASET`: old data, date by date.
struct Backfill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Brings in a dataset's old files, one for each date of a range, a few at a time.",
        discussion: """
            Publishes new-data for each date, oldest first, and follows what comes of it. A next date begins when the rows \
            of an earlier one can be read, or it was refused; the limit holds while this command runs. Ended at any \
            moment and begun again, with the same dataset and addresses, it goes on where it was and publishes nothing \
            twice.

            The work is done after all other work, and nothing is deployed by itself: a model that only a backfill asked \
            for is trained and judged, and then waits for `naura models promote`. Trainings fold: dates within a \
            model's quiet period are one.

            In the address {yyyy-MM} stands for the date: yyyy, MM and dd, with anything but letters between them.

            Exit codes: 0 all dates came in (what the models came to is told); 3 some were rejected, or a model was; \
            4 timed out.

            Example:
              naura backfill flights --uri 'file:///data/{yyyy-MM}.csv' --from 2013-01 --to 2013-12
            """)

    @Argument(help: "The dataset that the files belong to.") var dataset: String
    @Option(help: "Where the file of a date lies: a path, file:, http: or https: address with {yyyy}, {MM}, {dd}.")
    var uri: String
    @Option(help: "The first date: 2013-01 for months, 2013-01-07 for days and weeks.") var from: String
    @Option(help: "The last date; it is part of the range.") var to: String
    @Option(help: "A file for each day, week or month.") var every: BackfillRange.Step = .month
    @Option(help: "Most dates on their way at once, 1 to 100.") var maxActive: Int = 2
    @Option(help: "How long to wait for all of it: 90s, 10m, 2h, 7d.") var timeout: String = "7d"
    @Flag(help: "Prints what came of each date as JSON; progress goes to standard error.") var json = false

    func run() async throws {
        let dates = try BackfillRange.dates(from: from, to: to, every: every, uri: uri)
        guard (1...100).contains(maxActive) else {
            throw ValidationError("--max-active \(maxActive): expected 1 to 100")
        }
        let limit = try Span.parse(timeout, flag: "--timeout")
        let isQuiet = json
        let results = try await Connection.open(Settings.current()) { database in
            let name = dataset
            guard try await database.transaction({ try await Datasets.find(name, in: $0) }) != nil else {
                throw CommandError(.notFound, "no dataset \(dataset); `naura apply` defines datasets")
            }
            var run = BackfillRun(dates, of: DatasetID(dataset), activeMax: maxActive, database: database) { line in
                if isQuiet { Terminal.progress(line) } else { Terminal.print(line) }
            }
            _ = try await Watch.until(timeout: limit, every: .milliseconds(100)) { try await run.advance() }
            return run.results
        }
        if json { try JSONOutput.print(results, keys: ["reason"]) } else { Self.print(results) }
        guard !results.contains(where: { ["open", "not-published"].contains($0.outcome) }) else {
            Terminal.printError("timed out after \(timeout); the same command goes on where this one was")
            throw ExitCode.timedOut
        }
        if results.contains(where: { $0.outcome == "rejected" }) { throw ExitCode.rejected }
    }

    /// One line for each run of dates that came to the same.
    static func print(_ results: [BackfillRun.Result]) {
        Terminal.print()
        var rest = results[...]
        while let first = rest.first {
            let same = rest.prefix { $0.outcome == first.outcome && $0.reason == first.reason }
            rest = rest.dropFirst(same.count)
            let dates = same.count == 1 ? first.date : "\(first.date) to \(same.last?.date ?? first.date)"
            let word = first.outcome.replacing("-", with: " ")
            let isGood = ["promoted", "passed", "nothing-to-do"].contains(first.outcome)
            let coloured = isGood ? Terminal.green(word) : Terminal.red(word)
            Terminal.print("\(dates)  \(coloured)\(first.reason.map { ": \($0)" } ?? "")")
        }
    }
}
