import Foundation

/// All workers under steady load for some minutes: what their memory does, and what the tables hold.
enum Soak {
    /// How long what is done is kept, in seconds; in operation days.
    static let keepSeconds = 45
    /// How often a worker prunes.
    static let pruneSeconds = 5

    private static let workers = [
        "validate", "featurize", "schedule", "train", "promote", "rollout", "serve", "monitor", "notify", "api",
    ]

    /// Prints Markdown: a table of the workers and one of the tables.
    ///
    /// - Throws: ``BenchFailure`` with all that was out of bounds.
    static func measure(minutes: Double) async throws {
        let seconds = minutes * 60
        // Caches fill, pools grow to their size, and the first models are trained.
        let warmUp = min(300, seconds * 0.4)
        try await BenchSystem.with { system in
            let load = try SoakLoad(system)
            try load.writeProject()
            let processes = try workers.map { name in
                (name, try system.start(system.program(name), [], more: load.environment))
            }
            try await system.waitForWorkers(workers.count, holding: 0)
            try await load.begin()
            var memory = SoakMemory(processes.map { ($0.0, $0.1.processIdentifier) })
            var tables = SoakTables(system.database)
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await load.run(for: seconds) }
                var isWarm = false
                while start.duration(to: .now) < .seconds(seconds) {
                    let elapsed = Double(start.duration(to: .now).components.seconds)
                    try await tables.look()
                    if elapsed >= warmUp {
                        if !isWarm { try await tables.begin() }
                        isWarm = true
                        memory.sample(at: elapsed)
                    }
                    // Old rows of what is kept for days: they must go, too.
                    if elapsed < seconds / 2 { try await tables.seed() }
                    try await Task.sleep(for: .seconds(3))
                }
                try await group.waitForAll()
            }
            try await tables.end()
            for (_, process) in processes { process.terminate() }
            for (_, process) in processes { process.waitUntilExit() }
            print(load.summary(minutes: minutes))
            print(memory.markdown)
            print(tables.markdown)
            let codes = processes.filter { $0.1.terminationStatus != 0 }.map {
                "\($0.0) ended with \($0.1.terminationStatus)"
            }
            let faults = memory.faults + tables.faults + codes
            guard faults.isEmpty else {
                throw BenchFailure(description: "out of bounds:\n  - " + faults.joined(separator: "\n  - "))
            }
        }
    }
}

/// What each process held, sample by sample.
struct SoakMemory {
    /// More growth than this between warm-up and end, and than a tenth of what is held, is out of bounds, in MB.
    private static let growthMax = 8.0
    /// The most that a worker may hold, in MB.
    private static let residentMax = 150.0

    private struct Series {
        let name: String
        let pid: Int32
        var samples: [(seconds: Double, megabytes: Double)] = []

        var most: Double { samples.map(\.megabytes).max() ?? .nan }
        var mean: Double { samples.map(\.megabytes).reduce(0, +) / Double(samples.count) }
        /// The least squares line through the samples: MB a second; 0 with fewer than two moments.
        var slope: Double {
            let time = samples.map(\.seconds).reduce(0, +) / Double(samples.count)
            let spread = samples.reduce(0) { $0 + ($1.seconds - time) * ($1.seconds - time) }
            guard spread > 0 else { return 0 }
            return samples.reduce(0) { $0 + ($1.seconds - time) * ($1.megabytes - mean) } / spread
        }
        /// What the line grows by between the first and the last sample, in MB.
        var growth: Double { slope * ((samples.last?.seconds ?? 0) - (samples.first?.seconds ?? 0)) }
    }

    private var series: [Series]

    init(_ processes: [(String, Int32)]) { series = processes.map { Series(name: $0.0, pid: $0.1) } }

    mutating func sample(at seconds: Double) {
        for index in series.indices {
            series[index].samples.append((seconds, ProcessFigures.resident(of: series[index].pid)))
        }
    }

    var markdown: String {
        let rows = series.map { one in
            let figures = [one.samples.first?.megabytes ?? .nan, one.samples.last?.megabytes ?? .nan, one.most]
                .map { String(format: "%.1f", $0) }
            let slope = String(format: "%+.1f | %+.1f", one.slope * 3_600, one.growth)
            return "| \(one.name) | \(figures.joined(separator: " | ")) | \(slope) |"
        }
        return """

            ## Memory

            Resident MB after the warm-up, a sample every 3 s. *Slope* and *growth* are those of the least squares line.
            Out of bounds: a growth over \(Int(Self.growthMax)) MB and over a tenth of the mean, or more than \
            \(Int(Self.residentMax)) MB.

            | worker | first | last | most | slope, MB/h | growth, MB |
            | --- | ---: | ---: | ---: | ---: | ---: |
            \(rows.joined(separator: "\n"))
            """
    }

    /// What is out of bounds, in words.
    var faults: [String] {
        series.flatMap { one -> [String] in
            var faults: [String] = []
            if !(one.growth <= max(Self.growthMax, one.mean / 10)) {
                faults.append("\(one.name) grew by \(String(format: "%.1f", one.growth)) MB")
            }
            if !(one.most <= Self.residentMax) {
                faults.append("\(one.name) held \(String(format: "%.1f", one.most)) MB")
            }
            return faults
        }
    }
}
