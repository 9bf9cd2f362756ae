import Foundation
import Glibc
import NauraProcess

/// Which workers run, how many of each, and in which environment.
struct WorkerPlan: Sendable {
    /// The workers in the order of the loop.
    static let names = [
        "validate", "featurize", "schedule", "train", "promote", "rollout", "serve", "monitor", "notify", "api",
    ]

    /// One process that should run.
    struct Instance: Sendable {
        /// `train`, and from the second on `train-2`: also the log's name.
        let name: String
        let launch: Launch
        /// Where its health and metrics answer.
        let healthPort: Int
    }

    let instances: [Instance]

    /// Lays the plan: programs beside this one, one port each for health, and for what else they listen on.
    ///
    /// - Throws: ``CommandError`` when a worker's program is not beside this one, or no port is free.
    init(
        state: inout LaptopState, folder: StateFolder,
        inherited: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        var instances: [Instance] = []
        for name in WorkerPlan.names {
            let count = state.scale[name] ?? 1
            guard count > 0 else { continue }
            for number in 1...count {
                let instance = number == 1 ? name : "\(name)-\(number)"
                instances.append(
                    try WorkerPlan.instance(
                        instance, program: name, state: &state, folder: folder, inherited: inherited))
            }
        }
        self.instances = instances
    }

    private static func instance(
        _ instance: String, program: String, state: inout LaptopState, folder: StateFolder,
        inherited: [String: String]
    ) throws -> Instance {
        let executable = try WorkerPlan.executable(program)
        let healthPort = try state.port("\(instance)/health")
        // Addresses and tokens of somebody else's shell must not reach this project's workers.
        var environment = inherited.filter { key, _ in !key.hasPrefix("NAURA_") || isTuning(key) }
        environment["NAURA_DATABASE_URL"] = state.databaseURL
        environment["NAURA_KAFKA_BROKERS"] = state.brokers
        environment["NAURA_ARTIFACTS"] = folder.artifacts
        environment["NAURA_HOST"] = "127.0.0.1"
        environment["NAURA_HEALTH_PORT"] = String(healthPort)
        environment["NAURA_CACHE"] = "\(folder.cache)/\(instance)"
        environment["NAURA_API_URL"] = "http://127.0.0.1:\(try state.port("api"))"
        environment["NAURA_SERVE_URL"] = "http://127.0.0.1:\(try state.port("serve"))"
        if program == "api" {
            environment["NAURA_API_PORT"] = String(try state.port(instance))
            for key in ["NAURA_WEBHOOK_SECRET", "NAURA_WEBHOOK_SECRET_FILE"] { environment[key] = inherited[key] }
        }
        if program == "serve" { environment["NAURA_SERVE_PORT"] = String(try state.port(instance)) }
        for (key, value) in laptopTuning where environment[key] == nil { environment[key] = value }
        let launch = Launch(executable: executable, environment: environment, log: folder.log(instance))
        return Instance(name: instance, launch: launch, healthPort: healthPort)
    }

    /// What the laptop broker wants: a group's first join takes half a session timeout, and a waiting fetch is not
    /// woken, so the fetch's limit is the latency. 25 ms instead of 5: each idle consumer asks again and again, and
    /// some twenty of them at 5 ms keep one core busy. Its groups do not bear that their leader leaves.
    private static let laptopTuning = [
        "NAURA_KAFKA_SESSION_TIMEOUT_MS": "2000",
        "NAURA_KAFKA_FETCH_WAIT_MS": "25",
        "NAURA_KAFKA_LEAVE_GROUP": "0",
    ]

    private static func isTuning(_ key: String) -> Bool {
        tuning.contains(key) || key.hasPrefix("NAURA_TUNE_")
    }

    /// What a shell may say to a laptop's workers: no address and no credential, which are another project's.
    private static let tuning: Set<String> = [
        "NAURA_LOG_LEVEL", "NAURA_KAFKA_SESSION_TIMEOUT_MS", "NAURA_KAFKA_FETCH_WAIT_MS", "NAURA_KAFKA_PARTITIONS",
        "NAURA_JOBS", "NAURA_JOB_TIMEOUT_SECONDS", "NAURA_JOB_TRIES", "NAURA_JOB_BACK_OFF_MAX_SECONDS",
        "NAURA_LEASE_SECONDS", "NAURA_BATCH_EVENTS",
    ]

    /// The program `name` in the folder that holds this very program.
    static func executable(_ name: String) throws -> String {
        let path = programFolder + "/" + name
        guard access(path, X_OK) == 0 else {
            throw CommandError(.process, "the worker \(name) is not built: there is no \(path); try: make build")
        }
        return path
    }

    /// The folder of the running program, links followed.
    static let programFolder: String = URL(fileURLWithPath: ownProgram).deletingLastPathComponent().path

    /// The running program's file.
    static let ownProgram: String = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard length > 0 else { return CommandLine.arguments[0] }
        return String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()
}

extension LaptopState {
    /// The port kept for `name`: the one of the last start, or a free one chosen now.
    mutating func port(_ name: String) throws -> Int {
        if let port = ports[name] { return port }
        let taken = Set(ports.values)
        // Free may also be a port that another entry of ours keeps for a process that is not up yet.
        var port = try FreePort.choose()
        while taken.contains(port) { port = try FreePort.choose() }
        ports[name] = port
        return port
    }

    /// Forgets remembered ports on which somebody else listens now. Called while nothing of ours runs.
    mutating func forgetTakenPorts() { ports = ports.filter { FreePort.isFree($0.value) } }
}
