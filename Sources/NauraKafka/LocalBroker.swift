import Foundation
import Logging
import NauraProcess

/// The laptop's broker: one `tansu` process of our own on a free port of 127.0.0.1, remembered in a folder.
///
/// Its records live in memory: a broker that was stopped or killed comes back empty, on the same port if that is free,
/// and with another cluster id, by which clients notice. The process is found again by pid *and* start time, also after
/// a crash of whoever started it, so that a stranger is neither used nor stopped. It has a session of its own: Ctrl-C
/// on the terminal does not reach it.
///
/// Usage: `let brokers = try await LocalBroker(directory: stateFolder).ensureRunning()`, later `stop()`.
///
/// The folder holds `broker.json` (process, port, cluster id) and `broker.log`. One process at a time may use a
/// folder.
public struct LocalBroker: Sendable {
    /// What `broker.json` holds.
    struct Record: Codable, Equatable {
        var process: ProcessIdentity
        var port: Int
        var clusterID: String
    }

    private let directory: URL
    private let program: String
    private let advertisedPort: Int?
    private let logger: Logger

    /// A broker whose state is kept in `directory`, which is made when missing.
    ///
    /// - Parameters:
    ///   - program: a path, or a name that is looked up in `PATH`.
    ///   - advertisedPort: where clients are sent to, when that is not the broker itself but something before it.
    public init(
        directory: URL, program: String = "tansu", advertisedPort: Int? = nil,
        logger: Logger = Logger(label: "naura.local-broker")
    ) {
        self.directory = directory
        self.program = program
        self.advertisedPort = advertisedPort
        self.logger = logger
    }

    /// Starts the broker unless ours already runs, and waits until it answers.
    ///
    /// - Parameters:
    ///   - port: the port to take when a new process is started; nil takes the last one again, or a free one.
    ///   - limit: how long it may take to answer.
    /// - Returns: its address, for ``KafkaConfiguration/brokers``: `127.0.0.1:PORT`.
    /// - Throws: ``KafkaError`` `broker-program` when the program is missing or does not start.
    public func ensureRunning(port: Int? = nil, within limit: Duration = .seconds(15)) async throws(KafkaError)
        -> String
    {
        let last = try record()
        if let last, port == nil || port == last.port, last.process.isAlive {
            if try await answers(last, within: limit) { return Self.address(last.port) }
            logger.warning("the broker does not answer and is replaced", metadata: ["pid": "\(last.process.pid)"])
        }
        try await stop()
        var wanted = port ?? last?.port
        // Between finding a port free and the broker's taking it somebody else may come first: it then exits with 0.
        for _ in 0..<5 {
            let chosen: Int
            if let wanted, FreePort.isFree(wanted) {
                chosen = wanted
            } else {
                chosen = try orFault { () throws(ProcessFault) -> Int in try FreePort.choose() }
            }
            if let port, port != chosen {
                throw KafkaError(.brokerProgram, "port \(port) is taken by another process")
            }
            let started = try start(port: chosen)
            if try await answers(started, within: limit) {
                logger.info("broker started", metadata: ["port": "\(chosen)", "pid": "\(started.process.pid)"])
                return Self.address(chosen)
            }
            try await stop()
            wanted = nil
        }
        throw KafkaError(.brokerProgram, "`\(program)` does not answer; see \(logFile.path)")
    }

    /// The address of the broker, if ours runs; does not start it.
    public func brokers() throws(KafkaError) -> String? {
        guard let last = try record(), last.process.isAlive else { return nil }
        return Self.address(last.port)
    }

    /// The process id of the broker, if ours runs.
    public func processID() throws(KafkaError) -> Int32? {
        guard let last = try record(), last.process.isAlive else { return nil }
        return last.process.pid
    }

    /// Ends the broker if ours runs, and with it all its records. The port stays remembered.
    public func stop() async throws(KafkaError) {
        guard let last = try record(), last.process.isAlive else { return }
        // Nothing is stored, and a polite end takes five seconds while clients are connected.
        last.process.send(SIGKILL)
        guard await last.process.hasEnded(within: .seconds(10)) else {
            throw KafkaError(.brokerProgram, "process \(last.process.pid) does not end")
        }
    }

    // MARK: - State

    private var recordFile: URL { directory.appending(path: "broker.json") }
    private var logFile: URL { directory.appending(path: "broker.log") }

    /// Does what may fail for the machine's sake.
    private func orFault<Value>(_ body: () throws(ProcessFault) -> Value) throws(KafkaError) -> Value {
        do { return try body() } catch { throw KafkaError(.brokerProgram, "\(error)") }
    }

    private static func address(_ port: Int) -> String { "127.0.0.1:\(port)" }

    func record() throws(KafkaError) -> Record? {
        guard FileManager.default.fileExists(atPath: recordFile.path) else { return nil }
        do {
            let record = try JSONDecoder().decode(Record.self, from: Data(contentsOf: recordFile))
            // One that we started and that was killed is gone only when it was collected.
            Children.collectEnded([record.process.pid])
            return record
        } catch {
            throw KafkaError(.brokerProgram, "\(recordFile.path) cannot be read: \(error)")
        }
    }

    private func start(port: Int) throws(KafkaError) -> Record {
        let clusterID = "naura-\(UUID().uuidString.lowercased())"
        let url = "tcp://127.0.0.1:\(port)"
        do {
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        } catch {
            throw KafkaError(.brokerProgram, "\(directory.path) cannot be made: \(error)")
        }
        let process = try orFault { () throws(ProcessFault) -> ProcessIdentity in
            try Launch(
                executable: program,
                arguments: [
                    "broker", "--cluster-id", clusterID, "--listener-url", url, "--advertised-listener-url",
                    "tcp://127.0.0.1:\(advertisedPort ?? port)",
                ], log: logFile.path, leavesSession: true
            ).start()
        }
        let record = Record(process: process, port: port, clusterID: clusterID)
        do {
            // Written before the broker answers: a crash from here on leaves nothing that cannot be found again.
            try JSONEncoder().encode(record).write(to: recordFile, options: .atomic)
        } catch {
            process.send(SIGKILL)
            throw KafkaError(.brokerProgram, "\(recordFile.path) cannot be written: \(error)")
        }
        return record
    }

    /// Whether the process answers metadata requests with its own cluster id before it ends or the time is up.
    private func answers(_ record: Record, within limit: Duration) async throws(KafkaError) -> Bool {
        let clock = ContinuousClock()
        let deadline = clock.now + limit
        let configuration = KafkaConfiguration(brokers: Self.address(record.port), clientID: "naura-local-broker")
        let admin = try KafkaAdmin(configuration: configuration, logger: logger)
        while clock.now < deadline, try self.record()?.process.isAlive == true {
            do {
                let found = try await admin.metadata(within: .milliseconds(500))
                // Another id: a stranger took the port, and ours is about to end.
                return found.clusterID == record.clusterID
            } catch {
                logger.trace("broker does not answer yet", metadata: ["error": "\(error)"])
            }
        }
        return false
    }
}
