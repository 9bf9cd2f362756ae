// Puts a worker together: its stages, runners and services around one database, one consumer and one producer.

import Configuration
import Foundation
import Logging
import NauraEvents
import NauraFailpoints
import NauraKafka
import NauraLedger
import NauraPostgres
import ServiceLifecycle
import Synchronization
import UnixSignals

/// What a worker is made of.
public struct WorkerParts: Sendable {
    var stages: [any StageHandling] = []
    /// What handles events in a copy instead.
    var replayedStages: [any StageHandling] = []
    var retellings: [any RetellingHandling] = []
    var runners: [any RunnerHandling] = []
    var services: [any Service] = []
    var pruneSteps: [(name: String, step: PruneStep)] = []

    public init() {}

    /// Adds a stage. Each topic has one stage a worker.
    public func stage(_ stage: some Stage) -> WorkerParts {
        with {
            $0.stages.append(StageBox(stage: stage))
            $0.replayedStages.append(StageBox(stage: stage))
        }
    }

    /// Adds a stage that judges by the clock, or by what comes meanwhile: in a copy `stand` handles its events, or nobody,
    /// and what it decided is retold.
    public func stage(_ stage: some Stage, replayedBy stand: (any Stage)?) -> WorkerParts {
        with {
            $0.stages.append(StageBox(stage: stage))
            if let stand { $0.replayedStages.append(Self.box(stand)) }
        }
    }

    private static func box(_ stage: some Stage) -> any StageHandling { StageBox(stage: stage) }

    /// Adds what a runner's jobs once decided, for copies that `naura replay` fills.
    public func retelling(_ retelling: some Retelling) -> WorkerParts {
        with { $0.retellings.append(RetellingBox(retelling: retelling)) }
    }

    /// Adds a lease runner.
    public func runner(_ runner: some JobRunner) -> WorkerParts {
        with { $0.runners.append(RunnerBox(runner: runner)) }
    }

    /// Adds something that runs as long as the worker, and stops when it is told to.
    public func service(_ service: some Service) -> WorkerParts { with { $0.services.append(service) } }

    /// Has old rows deleted now and then (`NAURA_PRUNE_SECONDS`); the log counts them as `name`.
    public func pruning(_ name: String, _ step: @escaping PruneStep) -> WorkerParts {
        with { $0.pruneSteps.append((name, step)) }
    }

    private func with(_ change: (inout WorkerParts) -> Void) -> WorkerParts {
        var parts = self
        change(&parts)
        return parts
    }
}

/// What a worker's parts may use.
public struct WorkerContext: Sendable {
    /// This process' name among its kind, `name@host:pid:start`.
    public let instance: String
    /// The environment's `NAURA_*` variables, for the worker's own configuration.
    public let config: ConfigReader
    public let configuration: WorkerConfiguration
    public let database: Database
    public let telemetry: Telemetry
    public let wakeups: Wakeups
    public let metrics: Metrics
    public let health: Health
    /// Exports spans; nil where no endpoint is configured.
    public let tracer: Tracer?
    public let logger: Logger

    /// Runs `body` in a transaction of its own, with what it emits and files written at its end: for work that no event
    /// and no job leads to, such as filing the first job of a calendar.
    public func transaction<R>(as origin: StageName, _ body: (borrowing Work) async throws -> R) async throws -> R {
        let sheet = tracer.map(SpanSheet.init)
        let result = try await database.transaction { transaction in
            let batch = Batch(transaction: transaction, sheet: sheet)
            let result = try await body(Work(batch, origin: origin, cause: nil))
            try await batch.flushShared()
            Failpoint.filingWritten.reach()
            return result
        }
        Failpoint.filed.reach()
        sheet?.commit()
        return result
    }
}

/// The entry point of every worker.
public enum Worker {
    /// Runs the worker `name` until SIGTERM or SIGINT: stops polling, settles what is open (15 s), cancels (10 s), exits.
    ///
    /// Exits with 2 when the configuration has faults, and with 1 when a part fails for good.
    ///
    /// - Parameter outlivesServers: whether the worker starts and stays ready without database and broker, as the data
    ///   plane does. It then has no stages and runners, and relays no streams: only services of its own, and telemetry.
    public static func run(
        _ name: String, channels: [String] = [], outlivesServers: Bool = false,
        _ build: @Sendable (WorkerContext) async throws -> WorkerParts
    ) async {
        // Told to stop before it has begun, it holds nothing; and as a container's first process it would not even die.
        // The service group takes the signal over.
        signal(SIGTERM) { _ in _exit(0) }
        let config = ConfigReader(provider: EnvironmentVariablesProvider()).scoped(to: "naura")
        do {
            let configuration = try WorkerConfiguration(config)
            LoggingSystem.bootstrap { _ in JSONLogHandler(label: name, level: configuration.logLevel) }
            try await run(name, configuration, config, channels, outlivesServers: outlivesServers, build)
        } catch let fault as ConfigurationFault {
            FileHandle.standardError.write(Data("\(name): \(fault)\n".utf8))
            exit(2)
        } catch {
            Logger(label: name).critical("the worker failed", metadata: ["error": "\(error)"])
            exit(1)
        }
        exit(0)
    }

    private static func run(
        _ name: String, _ configuration: WorkerConfiguration, _ config: ConfigReader, _ channels: [String],
        outlivesServers: Bool, _ build: (WorkerContext) async throws -> WorkerParts
    ) async throws {
        let logger = Logger(label: name)
        let host = ProcessInfo.processInfo.hostName
        let pid = Int(ProcessInfo.processInfo.processIdentifier)
        let instance = "\(name)@\(host):\(pid):\(Int(Date().timeIntervalSince1970))"
        let (metrics, health) = (Metrics(), Health())
        let tracer = try TraceConfiguration(ConfigReader(provider: EnvironmentVariablesProvider())).map {
            Tracer($0, service: "naura-\(name)", instance: instance, metrics: metrics, logger: logger)
        }
        let database = Database(
            url: configuration.servers.databaseURL, connectionsMax: configuration.connectionsMax,
            applicationName: "naura-\(name)", logger: logger)
        if configuration.isReplaying {
            let context = WorkerContext(
                instance: instance, config: config, configuration: configuration, database: database,
                telemetry: Telemetry(), wakeups: Wakeups(database: database, channels: []), metrics: metrics,
                health: health, tracer: nil, logger: logger)
            return try await replay(name, try await build(context), database, logger)
        }
        let admin = try KafkaAdmin(configuration: configuration.kafka, logger: logger)
        if !outlivesServers {
            try await database.waitUntilAvailable()
            try await waitForTables(in: database, logger: logger)
            let cluster = try await admin.waitUntilAvailable()
            try await BrokerWatch.makeTopics(admin, partitions: configuration.partitions, existing: cluster)
        }
        let producer = try KafkaProducer(configuration: configuration.kafka, logger: logger)
        let wakeups = Wakeups(
            database: database, channels: ["naura_job", "naura_outbox", Jobs.cancelChannel] + channels)
        let context = WorkerContext(
            instance: instance, config: config, configuration: configuration, database: database,
            telemetry: Telemetry(producer: producer, metrics: metrics), wakeups: wakeups, metrics: metrics,
            health: health, tracer: tracer, logger: logger)
        let parts = try await build(context)
        precondition(
            !outlivesServers || (parts.stages.isEmpty && parts.runners.isEmpty),
            "a worker that outlives its servers has stages or runners, which need them")

        // Services end in reverse order: the tracer last, when every other has left its spans.
        var services: [any Service] = tracer.map { [$0] } ?? []
        services.append(wakeups)
        var partitionService: PartitionService?
        if !parts.stages.isEmpty {
            let consumer = try KafkaConsumer(
                configuration: configuration.kafka, group: "naura-\(name)", topics: parts.stages.map(\.topic),
                logger: logger)
            let service = PartitionService(
                stages: parts.stages,
                context: LoopContext(
                    instance: instance, database: database, producer: producer, consumer: consumer, metrics: metrics,
                    logger: logger, settings: StageSettings(batchEventsMax: configuration.batchEventsMax),
                    tracer: tracer))
            partitionService = service
            metrics.collect { metrics in metrics.gauge("naura_consumer_lag_events", [:], Double(consumer.lag())) }
        }
        if !outlivesServers {
            services.append(
                BrokerWatch(
                    admin: admin, database: database, partitions: configuration.partitions, logger: logger,
                    wakeups: wakeups, onRewind: { [partitionService] in await partitionService?.retakeStreams() }))
            services.append(
                SharedRelay(
                    instance: instance, database: database, producer: producer, wakeups: wakeups, logger: logger,
                    leaseSeconds: configuration.leaseSeconds))
        }
        if !parts.runners.isEmpty {
            services.append(
                RunnerLoop(
                    instance: instance, runners: parts.runners, database: database, wakeups: wakeups,
                    metrics: metrics, logger: logger,
                    settings: RunnerSettings(
                        jobsMax: configuration.jobsMax, leaseSeconds: configuration.leaseSeconds,
                        overrides: configuration.overrides), tracer: tracer))
            let kinds = parts.runners.map(\.kind)
            metrics.collect { metrics in
                if let age = try? await Jobs.oldestLeaseSeconds(kinds: kinds, in: database) {
                    metrics.gauge("naura_lease_age_seconds", [:], age)
                }
            }
        }
        let address = Mutex<String?>(nil)
        services.append(
            Registrar(
                name: name, instance: instance, host: host, pid: pid, database: database, wakeups: wakeups,
                health: health, isDatabaseNeeded: !outlivesServers, pruneSeconds: configuration.pruneSeconds,
                pruner: Pruner(
                    database: database, retention: configuration.retention, steps: parts.pruneSteps, logger: logger),
                logger: logger, duties: Registrar.duties(of: name, parts), address: { address.withLock { $0 } },
                lag: { [partitionService] in Int(partitionService?.lag ?? 0) },
                assignments: { [partitionService] in (partitionService?.partitions ?? []).map { "\($0)" }.sorted() }))
        services += parts.services
        // Services end in reverse order, one after the other: polling stops first, not after the last running job.
        if let partitionService { services.append(partitionService) }
        services.append(
            HealthServer.service(
                host: configuration.host, port: configuration.healthPort, health: health, metrics: metrics,
                logger: logger, onAddress: { port in address.withLock { $0 = "\(configuration.host):\(port)" } }))
        var group = ServiceGroupConfiguration(
            services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(15)
        group.maximumCancellationDuration = .seconds(10)
        health.set("start", fault: nil)
        logger.notice("the worker runs", metadata: ["instance": "\(instance)"])
        do {
            try await ServiceGroup(configuration: group).run()
        } catch is CancellationError {
            // Told to stop, and not through in fifteen seconds: what was open is handed back or rolled back by now.
            logger.notice("what was open has been given up")
        }
        logger.notice("the worker stops")
        await Registrar.leave(instance, in: database, logger: logger)
        await producer.close()
        await database.close()
    }

    /// Works in a copy: no Kafka, no jobs, no services. A signal ends it at once, which loses nothing.
    private static func replay(
        _ name: String, _ parts: WorkerParts, _ database: Database, _ logger: Logger
    ) async throws {
        try await database.waitUntilAvailable()
        logger.notice("history is told again")
        try await Replayer(worker: name, parts: parts, database: database, logger: logger).run()
        logger.notice("history has been told")
        // Services that were never run own clients that must not be let go without them.
        exit(0)
    }

    /// A worker may start before the tables are made, or made anew; it waits, and says so once.
    ///
    /// On tables of an older program its statements would fail, and events become dead letters that are no fault of
    /// theirs. Tables of a newer program are taken as they are, until that says that they are not for this one.
    private static func waitForTables(in database: Database, logger: Logger) async throws {
        var isTold = false
        while true {
            switch try await LedgerTables.standing(of: database) {
            case .fit: return
            case .tooNew(let oldest):
                throw LedgerError(
                    .tablesTooNew,
                    """
                    the database wants workers that know migration \(oldest); this one knows \
                    \(LedgerTables.newestMigration): start a newer one
                    """)
            case .missing(let number):
                if !isTold {
                    logger.notice(
                        "waiting for the tables; `naura migrate` makes them", metadata: ["migration": "\(number)"])
                }
                isTold = true
                try await Task.sleep(for: .milliseconds(500))
            }
        }
    }
}

/// Reports the worker to the registry each second, and prunes what is past retention now and then.
struct Registrar: Service {
    let name: String
    let instance: String
    let host: String
    let pid: Int
    let database: Database
    let wakeups: Wakeups
    let health: Health
    /// Whether the worker is not ready while the database is away.
    let isDatabaseNeeded: Bool
    let pruneSeconds: Int
    let pruner: Pruner
    let logger: Logger
    let duties: [WorkerDuty]
    let address: @Sendable () -> String?
    let lag: @Sendable () -> Int
    let assignments: @Sendable () -> [String]

    func run() async throws {
        let wake = wakeups.subscribe(to: [])
        var ticks = 0
        var (isDeclared, isMoreToPrune) = (false, false)
        while !Task.isCancelled && !Task.isShuttingDownGracefully {
            await report(state: health.openFaults.isEmpty ? "running" : "starting")
            if !isDeclared { isDeclared = await declare() }
            if ticks % 60 == 30 { await forgetSilent() }
            if isMoreToPrune || ticks % pruneSeconds == min(60, pruneSeconds - 1) {
                isMoreToPrune = await pruner.prune()
            }
            ticks += 1
            await wake.waitWhileRunning()
        }
        await report(state: "draining")
    }

    /// The stages and jobs that `parts` are made of.
    static func duties(of name: String, _ parts: WorkerParts) -> [WorkerDuty] {
        parts.stages.map { WorkerDuty(worker: name, kind: .stage, name: $0.name.rawValue, topic: $0.topic) }
            + parts.runners.map { WorkerDuty(worker: name, kind: .job, name: $0.kind.rawValue) }
    }

    /// Takes the instance off the registry, as the last thing before its end.
    static func leave(_ instance: String, in database: Database, logger: Logger) async {
        do {
            try await WorkerRegistry.leave(instance, in: database)
        } catch {
            // Shown as silent for some minutes, as after a kill.
            logger.debug("the registry could not be told of the end", metadata: ["error": "\(error)"])
        }
    }

    private func declare() async -> Bool {
        do {
            try await WorkerRegistry.declare(duties, of: name, in: database)
            return true
        } catch {
            logger.debug("the registry could not be told; tried again", metadata: ["error": "\(error)"])
            return false
        }
    }

    private func forgetSilent() async {
        do {
            try await WorkerRegistry.prune(in: database)
        } catch {
            logger.debug("silent instances were not forgotten; tried again", metadata: ["error": "\(error)"])
        }
    }

    private func report(state: String) async {
        do {
            try await WorkerRegistry.report(
                WorkerReport(
                    instance: instance, name: name, host: host, pid: pid, address: address(), state: state,
                    lag: lag(), assignments: assignments()), in: database)
            health.set("database", fault: nil)
        } catch {
            if isDatabaseNeeded { health.set("database", fault: "the database is away") }
            logger.debug("the registry could not be told", metadata: ["error": "\(error)"])
        }
    }
}
