import Foundation
import Glibc
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStage
import NauraStore

/// One replay: reads history and the hashes of what it came to, has workers tell it in the copy, and compares.
struct ReplayRun: Sendable {
    let source: String
    /// Events as JSON lines.
    let files: [String]
    let target: String
    let copy: Database
    let instances: Int

    /// What is known of the original, read in one moment of it.
    private struct Original: Sendable {
        let ledger: HistorySource
        let projects: [AppliedVersion]
        /// In the order of ``Self/compared``.
        let digests: [TableDigest]
    }

    private static let compared = ComparedTables.all + [HistorySource.eventsTable]

    func run() async throws -> ReplayReport {
        let clock = ContinuousClock()
        let began = clock.now
        try await requireEmpty()
        let fromFiles = try files.flatMap(readFile)
        Terminal.progress("reading history")
        let original = try await read()
        try await record(fromFiles, original.projects.map(\.version.appliedAt))
        let crew = try ReplayCrew(target: target, instances: instances)
        defer { crew.end() }
        let progress = try await untilSignalled { try await tell(original.projects, crew) }
        return ReplayReport(
            events: progress.recorded, told: progress.told, unknown: progress.unknown,
            seconds: (clock.now - began).seconds, warnings: warnings(original.ledger),
            untold: try await History.untold(in: copy), tables: try await compare(original))
    }

    // MARK: - Reading

    /// - Throws: ``CommandError`` `refused` when somebody's tables are there already.
    private func requireEmpty() async throws {
        do {
            try await copy.waitUntilAvailable(timeout: Connection.patience)
        } catch {
            throw CommandError(.badAnswer, "the database to fill (--into) cannot be reached", cause: error)
        }
        let tables = try await Migrator.tables(in: copy)
        guard tables.isEmpty else {
            let names = tables.prefix(3).joined(separator: ", ") + (tables.count > 3 ? ", …" : "")
            throw CommandError(
                .refused, "the database to fill (--into) holds \(tables.count) tables (\(names)); make an empty one")
        }
    }

    private func read() async throws -> Original {
        let database = Database(
            url: source, connectionsMax: 1, applicationName: "naura-replay", logger: Connection.quiet)
        let result: Result<Original, any Error>
        do {
            try await database.waitUntilAvailable(timeout: Connection.patience)
            result = .success(
                try await database.transaction { transaction in
                    try await transaction.execute("set transaction isolation level repeatable read, read only")
                    return try await read(transaction)
                })
        } catch let error as CommandError {
            result = .failure(error)
        } catch {
            result = .failure(CommandError(.badAnswer, "history (--from) cannot be read", cause: error))
        }
        await database.close()
        return try result.get()
    }

    private func read(_ transaction: Transaction) async throws -> Original {
        let ledger = try await HistorySource.look(in: transaction)
        guard ledger.streamsCut == 0 else {
            throw CommandError(
                .refused,
                "history is not whole: \(ledger.streamsCut) streams of the outbox have lost their first events, which are "
                    + "kept for seven days; a replay has to begin at the beginning")
        }
        // Not before all is known to be well: a database with tables would be refused at the next attempt.
        _ = try await SchemaFiles.migrator.run(on: copy)
        let projects = try await Projects.history(in: transaction)
        let moments = projects.map(\.version.appliedAt)
        try await HistorySource.read(in: transaction, part: { Self.part($0, moments) }) { events in
            try await copy.transaction { try await History.record(events, in: $0) }
        }
        var digests: [TableDigest] = []
        for table in Self.compared { digests.append(try await table.digest(in: transaction)) }
        return Original(ledger: ledger, projects: projects, digests: digests)
    }

    /// How many projects had been applied at `moment`.
    private static func part(_ moment: Date, _ applied: [Date]) -> Int { applied.prefix { $0 <= moment }.count }

    private func readFile(_ file: String) throws -> [EncodedEvent] {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw CommandError(.notFound, "there is no file \(file)")
        }
        return try data.split(separator: UInt8(ascii: "\n")).enumerated().map { index, line in
            do {
                return try Self.event(Array(line))
            } catch {
                throw CommandError(.badArgument, "\(file), line \(index + 1) is no event", cause: error)
            }
        }
    }

    /// Puts what files held on record, in their order.
    private func record(_ events: [EncodedEvent], _ applied: [Date]) async throws {
        var last = Date.distantPast
        let recorded = events.map { event in
            last = max(last, event.envelope.time)
            return RecordedEvent(event: event, saidAt: last, part: Self.part(last, applied), isAdded: true)
        }
        for start in stride(from: 0, to: recorded.count, by: 500) {
            let page = Array(recorded[start..<min(start + 500, recorded.count)])
            try await copy.transaction { try await History.record(page, in: $0) }
        }
    }

    private static func event(_ line: [UInt8]) throws -> EncodedEvent {
        struct Head: Decodable { let type: String }
        let type = try JSONDecoder().decode(Head.self, from: Data(line)).type
        return try EncodedEvent.decodeStructured(body: line, topic: type, recordTime: Date())
    }

    // MARK: - Telling

    /// - Throws: ``CommandError`` when a person ends the replay meanwhile: the workers must not outlive it.
    private func untilSignalled(
        _ work: @escaping @Sendable () async throws -> ReplayProgress
    ) async throws -> ReplayProgress {
        try await withThrowingTaskGroup(of: ReplayProgress.self) { group in
            group.addTask { try await work() }
            group.addTask {
                for await _ in Signals.stream([SIGINT, SIGTERM, SIGHUP]) { break }
                try Task.checkCancellation()
                throw CommandError(.refused, "ended before history was told; the copy is of no use")
            }
            defer { group.cancelAll() }
            guard let progress = try await group.next() else { throw CancellationError() }
            return progress
        }
    }

    private func tell(_ projects: [AppliedVersion], _ crew: ReplayCrew) async throws -> ReplayProgress {
        let meter = ReplayMeter()
        return try await ReplayCourse.run(
            parts: projects.count, workers: Set(ReplayCrew.workers), in: copy,
            open: { part, transaction in try await Projects.reapply(projects[part - 1], in: transaction) },
            watch: { progress in
                try crew.check()
                meter.show(progress)
            })
    }

    // MARK: - Comparing

    private func warnings(_ ledger: HistorySource) -> [String] {
        var warnings: [String] = []
        if ledger.jobsOpen > 0 { warnings.append("\(ledger.jobsOpen) jobs of the original were not done") }
        if ledger.eventsUnsent > 0 { warnings.append("\(ledger.eventsUnsent) of its events were not sent") }
        for warning in warnings { Terminal.progress("\(warning): what they lead to is in neither or in one") }
        return warnings
    }

    private func compare(_ original: Original) async throws -> [ReplayReport.Table] {
        Terminal.progress("comparing")
        let mine = try await copy.transaction { transaction in
            var digests: [TableDigest] = []
            for table in Self.compared { digests.append(try await table.digest(in: transaction, isCopy: true)) }
            return digests
        }
        // Answers that went straight to Kafka are missing here, unless a file brought them.
        let unrecorded = original.ledger.predictionsUnrecorded
        let isTrafficKnown = unrecorded == 0 || !files.isEmpty
        let compared = Self.compared.indices.map { index in
            let table = Self.compared[index]
            if !isTrafficKnown, [ComparedTables.predictions.name, ComparedTables.windows.name].contains(table.name) {
                return ReplayReport.Table(
                    table: table.name, outcome: .notCompared, rows: nil, copyRows: nil, scope: nil,
                    note: "\(unrecorded) batches of answers went straight to Kafka; give them as a file")
            }
            return ReplayReport.Table(
                table: table.name, outcome: mine[index] == original.digests[index] ? .equal : .differs,
                rows: original.digests[index].rows, copyRows: mine[index].rows,
                scope: table.scope.isEmpty ? nil : table.scope, note: table.without.isEmpty ? nil : table.without)
        }
        return compared
            + (ComparedTables.leftOut + HistorySource.leftOut).map {
                ReplayReport.Table(
                    table: $0.table, outcome: .notCompared, rows: nil, copyRows: nil, scope: nil, note: $0.reason)
            }
    }
}

/// Says how far history is, a few times a second at most.
private final class ReplayMeter {
    private var said: ContinuousClock.Instant?

    func show(_ progress: ReplayProgress) {
        let now = ContinuousClock().now
        if let said, now - said < .seconds(1) { return }
        said = now
        Terminal.progress("\(progress.told) of \(progress.recorded) events told")
    }
}
