// Predictions per second and their latency at the gateway, beside a bare Hummingbird server that echoes the same bytes.
//
//     serving-benchmark [SECONDS] [ROUNDS]
//     serving-benchmark inline [REQUESTS]         the gateway alone, without HTTP, on one thread: for a profiler
//
// Each server is a process of its own and is measured in turns, so that a change of the machine's mood hits all alike.
// Written as a Markdown table; the ratio to the echo is the median over the rounds.

import Foundation
import Hummingbird
import Logging
import NIOCore
import NIOPosix
import NauraEvents
import NauraServing
import ServiceLifecycle

@main enum ServingBenchmark {
    /// What is measured: a name for the table, and what the server process is told.
    static let subjects = [
        (title: "bare Hummingbird byte echo", server: "echo", path: "/echo"),
        (title: "gateway, without prediction record", server: "gateway-bare", path: "/v1/models/bench:predict"),
        (title: "gateway", server: "gateway", path: "/v1/models/bench:predict"),
        (title: "gateway, 50 % canary", server: "gateway-canary", path: "/v1/models/bench:predict"),
    ]
    static let connections = 16

    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        if arguments.first == "serve", arguments.count == 2 {
            try await BenchServer.run(arguments[1])
            return
        }
        if arguments.first == "inline" {
            try await InlineRun.run(requests: arguments.dropFirst().first.flatMap { Int($0) } ?? 1_000_000)
            return
        }
        let seconds = arguments.first.flatMap { Double($0) } ?? 5
        let rounds = arguments.dropFirst().first.flatMap { Int($0) } ?? 3
        var results: [String: [LoadResult]] = [:]
        for _ in 0..<rounds {
            for subject in subjects {
                let server = try ServerProcess(subject.server)
                let port = try server.port()
                let request = BenchModel.request(path: subject.path)
                _ = try await Load(port: port, request: request, connections: connections).run(seconds: 1)
                let result = try await Load(port: port, request: request, connections: connections).run(
                    seconds: seconds)
                results[subject.server, default: []].append(result)
                server.end()
            }
        }
        print("| server | requests/s | p50 | p99 | of the echo |\n| --- | ---: | ---: | ---: | ---: |")
        let echo = results["echo"] ?? []
        for subject in subjects {
            let own = results[subject.server] ?? []
            let ratios = zip(own, echo).map { $0.rate / $1.rate }.sorted()
            let middle = own.sorted { $0.rate < $1.rate }[own.count / 2]
            print(
                "| \(subject.title) | \(Int(middle.rate)) | \(microseconds(middle.latency, 0.5)) µs "
                    + "| \(microseconds(middle.latency, 0.99)) µs "
                    + "| \((ratios[ratios.count / 2] * 100).rounded() / 100) |")
            if own.contains(where: { $0.failures > 0 }) { print("\nFAILED: answers other than 200") }
        }
    }

    private static func microseconds(_ latency: LatencyHistogram, _ quantile: Double) -> UInt64 {
        (latency.quantile(quantile) ?? 0) / 1_000
    }
}

/// This program as a server, in a process of its own.
final class ServerProcess {
    private let process = Process()
    private let output = Pipe()

    init(_ kind: String) throws {
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
        process.arguments = ["serve", kind]
        process.standardOutput = output
        try process.run()
    }

    /// The port that the server says it listens on.
    func port() throws -> Int {
        var line = Data()
        while let byte = try output.fileHandleForReading.read(upToCount: 1), byte.first != 0x0A { line.append(byte) }
        guard let port = Int(String(decoding: line, as: UTF8.self)) else { throw CancellationError() }
        return port
    }

    func end() {
        process.terminate()
        process.waitUntilExit()
    }
}
