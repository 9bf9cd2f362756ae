import Foundation
import Logging
import NauraKafka

/// A real broker for tests: a `tansu` process on a free port of 127.0.0.1, ended with the test process.
///
/// Tests that only need a broker share one a process; they keep apart by the names of their topics and groups.
/// A test that kills or restarts its broker makes one of its own.
public final class TestBroker: Sendable {
    /// Whether the broker's program is installed; tests that need it are skipped aloud otherwise.
    public static let isAvailable: Bool = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin"
        return path.split(separator: ":").contains { FileManager.default.isExecutableFile(atPath: "\($0)/tansu") }
    }()

    /// The broker that all tests of the process share; started by the first that asks.
    public static func shared() async throws -> TestBroker { try await SharedBroker.instance.broker() }

    /// Where it listens: `127.0.0.1:PORT`. Stays the same over ``kill()`` and ``restartEmpty()``.
    public let brokers: String
    private let broker: LocalBroker
    private let port: Int

    /// Starts a broker of one's own.
    ///
    /// - Parameter advertisedPort: where clients are sent to, when a proxy of the test's stands before the broker.
    public init(advertisedPort: Int? = nil) async throws {
        let directory = try TestProcesses.folder().appending(path: "broker-\(UUID().uuidString.prefix(8))")
        broker = LocalBroker(directory: directory, advertisedPort: advertisedPort)
        brokers = try await broker.ensureRunning()
        port = Int(brokers.split(separator: ":")[1]) ?? 0
        if let pid = try broker.processID() { try TestProcesses.register(pid) }
        admin = try KafkaAdmin(configuration: KafkaConfiguration(brokers: brokers, clientID: "naura-test"))
    }

    /// The settings of a client of this broker.
    public var configuration: KafkaConfiguration {
        var configuration = KafkaConfiguration(brokers: brokers, clientID: "naura-test")
        configuration.sessionTimeout = .seconds(2)
        configuration.leavesGroup = false
        return configuration
    }

    /// Asks and changes this broker's topics.
    public let admin: KafkaAdmin

    /// Ends the broker at once; its records are gone. Clients find nobody there.
    public func kill() async throws {
        let pid = try broker.processID()
        try await broker.stop()
        if let pid { try TestProcesses.forget(pid) }
    }

    /// ``kill()`` for the end of a test: what remains after a failure ends with the test process.
    public func end() async {
        do {
            try await kill()
        } catch {
            Logger(label: "naura.tests").warning("the broker could not be ended", metadata: ["error": "\(error)"])
        }
    }

    /// Starts the broker again on the same port, empty, with another cluster id, after ending the old one.
    public func restartEmpty() async throws {
        try await kill()
        _ = try await broker.ensureRunning(port: port)
        if let pid = try broker.processID() { try TestProcesses.register(pid) }
    }

    /// Stops the process in its tracks (`SIGSTOP`): connections stay open and nobody answers.
    public func freeze() throws { try signal(SIGSTOP) }

    /// Lets a frozen broker go on.
    public func thaw() throws { try signal(SIGCONT) }

    /// A name that no other test uses, for a topic or a group.
    public static func uniqueName(_ stem: String = "test") -> String {
        "\(stem)-\(UUID().uuidString.lowercased().prefix(8))"
    }

    /// Makes a topic with a name of its own.
    public func makeTopic(_ stem: String = "topic", partitions: Int = 4) async throws -> String {
        let name = Self.uniqueName(stem)
        try await admin.createTopics([name], partitions: partitions)
        return name
    }

    private func signal(_ number: Int32) throws {
        guard let pid = try broker.processID() else { return }
        Foundation.kill(pid, number)
    }
}

private actor SharedBroker {
    static let instance = SharedBroker()
    private var starting: Task<TestBroker, any Error>?

    func broker() async throws -> TestBroker {
        if let starting { return try await starting.value }
        let starting = Task { try await TestBroker() }
        self.starting = starting
        return try await starting.value
    }
}
