import Foundation

/// What each worker holds when it has nothing to do.
enum IdleMemory {
    static let workers = [
        "validate", "featurize", "schedule", "train", "promote", "rollout", "serve", "monitor", "notify", "api",
    ]

    /// Prints `| worker | resident | proportional share |`, in MB, after all have been idle for ten seconds.
    static func measure() async throws {
        let folder = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
        try await BenchSystem.with { system in
            let processes = try workers.map { name in
                (name, try system.start(folder.appending(path: name), [], more: ["NAURA_KAFKA_FETCH_WAIT_MS": "25"]))
            }
            try await system.waitForWorkers(workers.count, holding: 0)
            try await Task.sleep(for: .seconds(10))
            for (name, process) in processes {
                let memory = ProcessFigures.memory(of: process.processIdentifier)
                print(
                    "| \(name) | \(String(format: "%.0f", memory.resident)) "
                        + "| \(String(format: "%.0f", memory.proportional)) |")
            }
            for (_, process) in processes { process.terminate() }
            for (_, process) in processes { process.waitUntilExit() }
        }
    }
}
