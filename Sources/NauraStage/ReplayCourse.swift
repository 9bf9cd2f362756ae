// Leads a replay: part after part of history, each told to its end before the next project is applied.

import NauraLedger
import NauraPostgres

/// Leads the workers that tell history again in a copy.
public enum ReplayCourse {
    private static let inputsMax = 500

    /// Tells the history that stands in `database`, and ends the replay.
    ///
    /// - Parameters:
    ///   - parts: how many projects were applied; history has one part more.
    ///   - workers: those that must be at work before anything counts as told.
    ///   - open: applies the project with which a part begins; part 0 begins with none.
    ///   - watch: called some times a second with how far it is; what it throws ends the replay.
    public static func run(
        parts: Int, workers: Set<String>, in database: Database,
        open: (Int, Transaction) async throws -> Void, watch: (ReplayProgress) async throws -> Void
    ) async throws -> ReplayProgress {
        for part in 0...parts {
            try await database.transaction { transaction in
                if part > 0 { try await open(part, transaction) }
                try await History.open(part: part, in: transaction)
            }
            try await tellInputs(in: database, watch)
            try await waitUntilQuiet(workers, in: database, watch)
        }
        let end = try await History.progress(in: database)
        try await database.transaction { try await History.close(in: $0) }
        return end
    }

    private static func tellInputs(
        in database: Database, _ watch: (ReplayProgress) async throws -> Void
    ) async throws {
        while try await database.transaction({ try await History.tellInputs(limit: inputsMax, in: $0) }) > 0 {
            try await watch(try await History.progress(in: database))
        }
    }

    /// Each notice is a look, and there is one a second at least.
    private static func waitUntilQuiet(
        _ workers: Set<String>, in database: Database, _ watch: (ReplayProgress) async throws -> Void
    ) async throws {
        let clock = ContinuousClock()
        var looked: ContinuousClock.Instant?
        for await notice in database.listen([History.channel]) {
            // Thousands of notices a second are one look; the tick that follows them is the last one.
            if case .notified = notice, let looked, clock.now - looked < .milliseconds(100) { continue }
            looked = clock.now
            let progress = try await History.progress(in: database)
            try await watch(progress)
            if progress.isQuiet, workers.isSubset(of: progress.workers) { return }
            try Task.checkCancellation()
        }
        try Task.checkCancellation()
    }
}
