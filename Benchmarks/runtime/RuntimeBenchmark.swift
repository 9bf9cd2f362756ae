// What the runtime costs, measured with broker, database and workers on this one machine:
//
//     runtime-benchmark throughput [--events 200000] [--batch 500]   one stage, exactly once
//     runtime-benchmark latency [--events 400]                       idle: publish → next worker, worker → worker
//     runtime-benchmark scale [--events 12000]                       one, two and four instances that wait for answers
//     runtime-benchmark rebalance                                    an instance joins, leaves and dies under load
//     runtime-benchmark memory                                       each worker, idle; the programs beside this one
//     runtime-benchmark soak [--minutes 10]                        all workers under steady load; fails when they grow
//     runtime-benchmark serve-peer [--events N]                      fills a topic and waits: for Benchmarks/peers
//
// Each prints rows of a Markdown table; `Benchmarks/run` puts them together.

import Foundation
import NauraStage

@main enum RuntimeBenchmark {
    static func main() async throws {
        let arguments = CommandLine.arguments
        switch arguments.dropFirst().first {
        case "worker": await BenchWorkers.run(arguments.last ?? "bench")
        case "latency": try await Latency.measure(events: number("--events", 400))
        case "scale": try await Scale.measure(events: number("--events", 12_000))
        case "rebalance": try await Rebalance.measure()
        case "memory": try await IdleMemory.measure()
        case "soak":
            do {
                try await Soak.measure(minutes: Double(number("--minutes", 10)))
            } catch let failure as BenchFailure {
                FileHandle.standardError.write(Data("runtime-benchmark: \(failure)\n".utf8))
                exit(1)
            }
        case "serve-peer": try await PeerHost.run(events: number("--events", 20_000))
        default: try await Throughput.measure(events: number("--events", 200_000), batch: number("--batch", 500))
        }
    }

    private static func number(_ flag: String, _ usual: Int) -> Int {
        guard let place = CommandLine.arguments.firstIndex(of: flag), place + 1 < CommandLine.arguments.count else {
            return usual
        }
        return Int(CommandLine.arguments[place + 1]) ?? usual
    }
}
