import NauraEvents
import NauraStore

/// One model's route with its versions loaded: immutable, replaced as a whole.
final class ModelRoute: Sendable {
    let route: ServedRoute
    let name: String
    /// Nil while no version is loaded: the model is known, and answers 503.
    let champion: LoadedArm?
    let canary: LoadedArm?
    let split: Split
    /// What is seen while a canary runs.
    let observer: CanaryObserver?
    let telemetry: ModelTelemetry
    /// Why a version that the route names is not served.
    let fault: String?

    init(
        route: ServedRoute, champion: LoadedArm?, canary: LoadedArm?, observer: CanaryObserver?,
        telemetry: ModelTelemetry, fault: String?
    ) {
        self.route = route
        self.name = route.model
        self.champion = champion
        self.canary = canary
        self.split = Split(salt: route.salt, weight: route.weight)
        self.observer = observer
        self.telemetry = telemetry
        self.fault = fault
    }

    /// The loaded version of that number.
    func arm(version: String) -> LoadedArm? {
        if champion?.versionText == version { return champion }
        return canary?.versionText == version ? canary : nil
    }

    /// Whether some version answers.
    var isReady: Bool { champion != nil }

    /// Whether nothing is missing: a model that no version was rolled out for yet has nothing to serve.
    var isComplete: Bool { champion != nil || route.champion == nil }

    /// What this gateway says of the model.
    var report: GatewayReport {
        GatewayReport(
            model: name, epoch: route.epoch, champion: champion?.version, canary: canary?.version, fault: fault)
    }
}

/// All routes at one moment; a request keeps the one it began with.
final class RoutingTable: Sendable {
    let routes: [String: ModelRoute]
    /// Routes by the path of their usual request, so that it costs one look-up.
    let predictPaths: [String: ModelRoute]
    /// Whether any list of routes, however empty, has been read: not so before the first reading without a cache.
    let isKnown: Bool

    init(_ routes: [ModelRoute], isKnown: Bool) {
        self.routes = Dictionary(uniqueKeysWithValues: routes.map { ($0.name, $0) })
        predictPaths = Dictionary(uniqueKeysWithValues: routes.map { ("/v1/models/\($0.name):predict", $0) })
        self.isKnown = isKnown
    }

    static let empty = RoutingTable([], isKnown: false)

    var names: [String] { routes.keys.sorted() }
}
