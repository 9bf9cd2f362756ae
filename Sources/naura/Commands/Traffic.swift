import ArgumentParser
import AsyncHTTPClient
import Foundation
import NauraStore

/// `naura traffic MODEL`.
struct TrafficCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "traffic", abstract: "Sends predictions to the gateway at a steady rate.",
        discussion: """
            The rows of a data file become requests by the expressions of the model's feature views. Requests leave at \
            the given rate whether or not earlier ones were answered, and latency counts from the moment at which a \
            request was due, so a gateway that stalls is seen. Each second prints what was answered; Ctrl-C ends it. \
            --shift pretends that other customers came. Exit code 1 when nothing could be answered.

            Examples:
              naura traffic churn --rows february.csv --rate 200
              naura traffic churn --rows february.csv --rate 200 --duration 1m --unit customerid
              naura traffic churn --rows february.csv --shift 'contract=Two year' --shift 'monthlycharges*1.6'
            """)

    @Argument(help: "The model.") var model: String
    @Option(help: "A CSV file of the model's dataset.") var rows: String
    @Option(help: "Requests per second.") var rate: Double = 100
    @Option(help: "How long: 30s, 5m; until Ctrl-C where nothing is said.") var duration: String?
    @Option(help: "What a canary splits by: visit (each request its own), or a column of the file.")
    var unit: String = "visit"
    @Option(help: "Change a column: COLUMN=VALUE or COLUMN*FACTOR; may be given again.") var shift: [String] = []

    func validate() throws {
        guard rate > 0, rate <= 100_000 else { throw ValidationError("--rate \(rate): expected 0 to 100,000") }
    }

    func run() async throws {
        let settings = try Settings.current()
        let gateway = try settings.gateway()
        let limit = try duration.map { try Span.parse($0, flag: "--duration") }
        let shifts = try shift.map { try TrafficShift($0) }
        guard let source = try await Connection.open(settings, { try await ModelSources.find(model, in: $0) }) else {
            throw CommandError(.notFound, "no applied project file defines the model \(model)")
        }
        let requests = try TrafficRows(
            views: source.views, contract: source.contract, unitColumn: unit == "visit" ? nil : unit, shifts: shifts
        ).read(rows)
        Terminal.progress(
            "\(EventSummary.counted(requests.count, "row")) from \(rows), \(rate) a second to \(gateway)")
        let generator = TrafficGenerator(
            gateway: gateway, model: model, token: settings.token, rows: requests, rate: rate,
            client: HTTPClient.shared)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await generator.run(for: limit) }
            group.addTask { await TrafficCommand.watch(generator.meter) }
            group.addTask {
                for await _ in Signals.stream([SIGINT, SIGTERM]) { return }
            }
            // Whichever of load and signal ends first ends the rest; the watcher itself only ends with them.
            await group.next()
            group.cancelAll()
        }
        let whole = generator.meter.whole
        Terminal.print("")
        Terminal.print("in all  \(TrafficCommand.line(whole, seconds: nil))")
        for (arm, count) in whole.byArm.sorted(by: { $0.key < $1.key }) {
            Terminal.print("  \(arm): \(EventSummary.counted(count, "answer")), \(whole.failedByArm[arm] ?? 0) failed")
        }
        if let failure = whole.lastFailure { Terminal.print("  last failure: \(failure)") }
        guard whole.answered > 0 else { throw ExitCode.failure }
    }

    /// Prints a line each second.
    private static func watch(_ meter: TrafficMeter) async {
        var seconds = 0
        while await Watch.pause(.seconds(1)) {
            seconds += 1
            Terminal.print(line(meter.takeRecent(), seconds: seconds))
        }
    }

    /// `   3 s     400/s  ok 398  refused 0  failed 2  p50 3.1 ms  p99 22 ms`.
    static func line(_ reading: TrafficMeter.Reading, seconds: Int?) -> String {
        func milliseconds(_ q: Double) -> String {
            reading.latencies.quantile(q).map { String(format: "%.1f ms", $0 * 1_000) } ?? "-"
        }
        let when = seconds.map { String(format: "%4d s  ", $0) } ?? ""
        let succeeded = reading.answered - reading.refused - reading.failed + (reading.failedByArm["none"] ?? 0)
        return when + "sent \(reading.sent)  ok \(succeeded)  refused \(reading.refused)  failed \(reading.failed)"
            + (reading.shed > 0 ? "  shed \(reading.shed)" : "")
            + "  p50 \(milliseconds(0.5))  p99 \(milliseconds(0.99))"
    }
}
