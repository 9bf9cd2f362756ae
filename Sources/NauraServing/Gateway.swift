import Foundation
public import Logging
import NIOPosix
import NauraData
import NauraEvents
import NauraModels
import NauraRules
public import NauraStore
import Synchronization

/// The data plane of one process: its routes, its loaded models, what it has answered and seen.
///
/// Answers come from an immutable table that is replaced as a whole, so a request keeps the route it began with, and a
/// version is loaded and checked before any request can meet it.
public final class Gateway: Sendable {
    let configuration: ServingConfiguration
    let cache: RouteCache
    let features: (any FeatureSource)?
    let logger: Logger
    let counters = ServingCounters()
    let budget: RecordBudget
    let reporterBell = Bell()
    /// Names this process among the runs of one gateway; part of every prediction's id.
    let boot: UInt64

    private let shelf: ModelShelf
    private let table = Mutex(RoutingTable.empty)
    private let models = Mutex<[String: ModelTelemetry]>([:])
    private let metrics = Mutex<[String: ArmMetrics]>([:])
    private let scratches = Mutex<[Scratch]>([])
    private let predictions = Atomic<UInt64>(0)
    /// Until when routes count as current, by the monotonic clock.
    private let freshUntil = Atomic<UInt64>(0)
    private let draining = Atomic<Bool>(false)

    /// A gateway without routes; ``RouteKeeper`` brings them.
    ///
    /// - Parameter features: the online store, for predictions by key; nil when there is none.
    /// - Throws: ``ServingError`` when it may not listen where it is told to, or its directories cannot be used.
    public init(
        configuration: ServingConfiguration, features: (any FeatureSource)?, logger: Logger
    ) throws(ServingError) {
        if let refusal = ListenPolicy.check(host: configuration.host, hasToken: configuration.token != nil) {
            throw ServingError(.listenRefused, refusal)
        }
        self.configuration = configuration
        self.features = features
        self.logger = logger
        cache = RouteCache(directory: configuration.cacheDirectory)
        budget = RecordBudget(bytesMax: configuration.recordBytesMax)
        boot = UInt64.random(in: .min ... .max)
        do {
            shelf = ModelShelf(
                source: try ArtifactStore(directory: configuration.artifactsDirectory),
                cache: try ArtifactStore(directory: configuration.cacheDirectory + "/packages"),
                threads: .singleton)
        } catch {
            throw ServingError(.cache, "the artifact store or the cache cannot be used", cause: error)
        }
    }

    // MARK: - What requests see

    /// The routes now.
    var current: RoutingTable { table.withLock { $0 } }

    /// Whether the routes are recent enough to send anyone to a canary.
    var hasFreshRoutes: Bool { Clocks.monotonicNanoseconds() < freshUntil.load(ordering: .relaxed) }

    /// Whether every model that has a champion is served, and no end is near.
    var isReady: Bool {
        let table = current
        return table.isKnown && !draining.load(ordering: .relaxed) && table.routes.values.allSatisfy(\.isComplete)
    }

    /// Takes no further traffic, as far as readiness can say so.
    func drain() { draining.store(true, ordering: .relaxed) }

    /// A new request's id.
    func nextID() -> PredictionID {
        PredictionID(boot: boot, number: predictions.add(1, ordering: .relaxed).newValue)
    }

    func borrowScratch() -> Scratch { scratches.withLock { $0.popLast() } ?? Scratch() }

    /// Takes buffers back. Their last owner moves them here: a second one would make clearing them a copy.
    func giveBack(_ used: consuming Scratch) {
        guard used.isKept else { return }
        used.clear()
        let cleared = used
        scratches.withLock { scratches in
            if scratches.count < Self.scratchesMax { scratches.append(cleared) }
        }
    }

    private static let scratchesMax = 64

    // MARK: - What the keeper does

    /// States that the routes were read by a question asked at `moment`.
    func confirmRoutes(asOf moment: ContinuousClock.Instant) {
        let left = configuration.routesFreshFor - (ContinuousClock.now - moment)
        guard left > .zero else { return }
        freshUntil.store(Clocks.monotonicNanoseconds() + UInt64(left / .nanoseconds(1)), ordering: .relaxed)
    }

    /// Serves `routes` as if they had been read just now; for programs that bring their own.
    public func serve(_ routes: [ServedRoute]) async {
        await install(routes)
        confirmRoutes(asOf: .now)
    }

    /// Loads what `routes` name, then switches to them. A version that cannot serve leaves its model as it was: the
    /// champion before it goes on, and the fault is told.
    func install(_ routes: [ServedRoute]) async {
        let now = ContinuousClock.now
        let previous = current
        var next: [ModelRoute] = []
        for route in routes { next.append(await load(route, after: previous.routes[route.model], now: now)) }
        shelf.tidy(
            keeping: Set(routes.flatMap { [$0.champion?.artifact, $0.canary?.artifact].compactMap(\.self) }), now: now)
        let installed = RoutingTable(next, isKnown: true)
        table.withLock { $0 = installed }
    }

    /// Whether a version that a route names is not served.
    var hasFaults: Bool { current.routes.values.contains { $0.fault != nil } }

    /// What this gateway says of its models.
    var reports: [GatewayReport] {
        current.routes.values.map(\.report).sorted { $0.model < $1.model }
    }

    private func load(_ route: ServedRoute, after previous: ModelRoute?, now: ContinuousClock.Instant) async
        -> ModelRoute
    {
        if let previous, previous.route == route, previous.fault == nil {
            _ = await model(route.champion, of: route, now: now)
            return previous
        }
        let telemetry = telemetry(of: route.model)
        let champion = await model(route.champion, of: route, now: now)
        let canary = await model(route.canary, of: route, now: now)
        if route.champion != nil, champion.model == nil, let previous, previous.champion != nil {
            log(champion.fault, route)
            _ = telemetry.observer(epoch: previous.route.epoch, now: now) { nil }
            return ModelRoute(
                route: previous.route, champion: previous.champion, canary: nil, observer: nil, telemetry: telemetry,
                fault: champion.fault)
        }
        let fault = champion.fault ?? canary.fault
        if previous?.fault != fault { log(fault, route) }
        let observer = telemetry.observer(epoch: route.epoch, now: now) {
            guard let version = route.canary, champion.model != nil else { return nil }
            return CanaryObserver(
                epoch: route.epoch, weight: canary.model == nil ? 0 : route.weight, rollout: route.rollout,
                canaryVersion: version.version,
                slow: SlowThreshold(
                    seconds: route.slowSeconds, champion: previous?.champion?.metrics.values.recent ?? RecentLatencies()
                ))
        }
        return ModelRoute(
            route: route,
            champion: arm(.champion, route.champion, champion.model, route, other: canary.model),
            canary: arm(.canary, route.canary, canary.model, route, other: champion.model),
            observer: observer, telemetry: telemetry, fault: fault)
    }

    private func arm(
        _ arm: Arm, _ version: RoutedVersion?, _ model: ServedModel?, _ route: ServedRoute, other: ServedModel?
    ) -> LoadedArm? {
        guard let version, let model else { return nil }
        return LoadedArm(
            arm, version: version, model: model, route: route, other: other,
            metrics: metrics(of: route.model, version: version.version))
    }

    private func model(
        _ version: RoutedVersion?, of route: ServedRoute, now: ContinuousClock.Instant
    ) async -> (model: ServedModel?, fault: String?) {
        guard let version else { return (nil, nil) }
        do throws(ServingError) {
            return (try await shelf.model(version, now: now), nil)
        } catch {
            return (nil, error.description)
        }
    }

    private func log(_ fault: String?, _ route: ServedRoute) {
        guard let fault else { return }
        logger.error(
            "A version that the route names is not served",
            metadata: ["model": "\(route.model)", "epoch": "\(route.epoch)", "fault": "\(fault)"])
    }

    private func telemetry(of model: String) -> ModelTelemetry {
        models.withLock { models in
            if let known = models[model] { return known }
            let made = ModelTelemetry(model: ModelID(model), budget: budget)
            models[model] = made
            return made
        }
    }

    private func metrics(of model: String, version: Int) -> ArmMetrics {
        metrics.withLock { metrics in
            let key = "\(model)/\(version)"
            if let known = metrics[key] { return known }
            let made = ArmMetrics(model: model, version: version)
            metrics[key] = made
            return made
        }
    }

    // MARK: - What the reporter and the metrics read

    /// All models that have been served, in order.
    var telemetries: [ModelTelemetry] {
        models.withLock { $0.values.sorted { $0.model < $1.model } }
    }

    /// ``boot`` as 16 hex digits.
    public var bootName: String { PredictionID.hex(boot) }

    /// What the gateway counts, now.
    public var measurements: ServingMeasurements {
        let table = current
        return ServingMeasurements(
            arms: metrics.withLock { Array($0.values) }.sorted { ($0.model, $0.version) < ($1.model, $1.version) }.map {
                arm in
                let values = arm.values
                let route = table.routes[arm.model]
                return ServingMeasurements.ArmMeasurement(
                    model: arm.model, version: arm.version,
                    arm: route?.champion?.version == arm.version
                        ? "champion" : route?.canary?.version == arm.version ? "canary" : "none",
                    requests: values.requests, rows: values.rows, errors: values.errors, latency: values.latency)
            },
            refusals: counters.refusals, overloads: counters.overloaded.load(ordering: .relaxed),
            inFlight: counters.inFlight.load(ordering: .relaxed), droppedRecords: budget.dropped,
            pendingRecordBytes: budget.pendingBytes, loadedModels: shelf.loaded, hasFreshRoutes: hasFreshRoutes)
    }
}
