import Glibc

/// A laptop's Naura while one command runs: up, then the command's own work, then down, whatever happened.
enum Session {
    /// How the work ended.
    enum End: Sendable {
        /// By itself.
        case finished
        /// By Ctrl-C, SIGTERM or a closed terminal.
        case signalled
    }

    /// Brings `laptop` up, runs `work` beside its supervision, and ends everything that was started.
    ///
    /// A first signal ends the work and lets the workers settle what is open; a second one does not wait for them.
    /// - Throws: what the start or the work threw.
    static func run(
        _ laptop: Laptop, say: @escaping @Sendable (String) -> Void,
        work: @escaping @Sendable (Settings) async throws -> Void
    ) async throws -> End {
        let outcome: Result<End, any Error>
        do {
            outcome = .success(try await turn(laptop, work))
        } catch {
            outcome = .failure(error)
        }
        if case .success(.signalled) = outcome { say("ending; once more Ctrl-C does not wait for open work") }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await laptop.stop()
                return true
            }
            group.addTask {
                for await _ in Signals.stream([SIGINT, SIGTERM]) { await laptop.hurry() }
                return false
            }
            _ = try await group.next()
            group.cancelAll()
        }
        return try outcome.get()
    }

    private static func turn(
        _ laptop: Laptop, _ work: @escaping @Sendable (Settings) async throws -> Void
    ) async throws -> End {
        try await withThrowingTaskGroup(of: End.self) { group in
            group.addTask {
                for await _ in Signals.stream([SIGINT, SIGTERM, SIGHUP]) { return .signalled }
                return .signalled
            }
            group.addTask {
                try await laptop.start()
                guard let settings = await laptop.settings else { preconditionFailure("started without settings") }
                return try await withThrowingTaskGroup(of: End.self) { inner in
                    inner.addTask {
                        try await laptop.supervise()
                        return .signalled
                    }
                    inner.addTask {
                        try await work(settings)
                        return .finished
                    }
                    defer { inner.cancelAll() }
                    return try await inner.next() ?? .finished
                }
            }
            defer { group.cancelAll() }
            return try await group.next() ?? .finished
        }
    }
}
