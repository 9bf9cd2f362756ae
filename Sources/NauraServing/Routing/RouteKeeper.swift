import Logging
import NauraEvents
import NauraPostgres
import NauraStore
import ServiceLifecycle

/// Keeps the gateway's routes: reads them at the start, on each NOTIFY and each second; loads what they name before it
/// switches; remembers them on disk; tells the database what is served.
struct RouteKeeper: Service {
    /// How often the database hears what is served although nothing has changed.
    static let reportEvery: Duration = .seconds(5)

    let gateway: Gateway
    let database: Database
    let logger: Logger

    func run() async throws {
        await restore()
        var state = Known()
        // The stream also ticks each second, so a lost notification costs a second.
        for await _ in database.listen(["naura_route"]).cancelOnGracefulShutdown() {
            await refresh(&state)
        }
        await retire()
    }

    /// What the last reading found.
    private struct Known {
        var routes: [ServedRoute]?
        var isAway = false
        var reported: [GatewayReport]?
        var reportedAt: ContinuousClock.Instant?
        var stored: [ServedRoute]?
    }

    /// Serves from disk until the database has answered.
    private func restore() async {
        do {
            guard let routes = try gateway.cache.load() else { return }
            await gateway.install(routes)
            logger.info("Serving the routes remembered on disk", metadata: ["models": "\(routes.count)"])
        } catch {
            logger.error("The routes on disk are not usable", metadata: ["error": "\(error)"])
        }
    }

    private func refresh(_ known: inout Known) async {
        let askedAt = ContinuousClock.now
        do {
            let routes = try await RouteTable.read(from: database)
            // Counted from the question: a slow answer is as old as its question.
            gateway.confirmRoutes(asOf: askedAt)
            if known.isAway { logger.info("The database answers again") }
            known.isAway = false
            // Also when nothing changed: a package that was missing may have come.
            if routes != known.routes || gateway.hasFaults { await gateway.install(routes) }
            known.routes = routes
            if known.stored != routes {
                try gateway.cache.store(routes)
                known.stored = routes
            }
            try await report(&known)
        } catch let error as ServingError {
            logger.error("The routes could not be remembered on disk", metadata: ["error": "\(error)"])
        } catch {
            if !known.isAway {
                logger.warning("The database is away; serving the last routes", metadata: ["error": "\(error)"])
            }
            known.isAway = true
        }
    }

    private func report(_ known: inout Known) async throws {
        let now = ContinuousClock.now
        let reports = gateway.reports
        let isDue = known.reportedAt.map { now - $0 >= Self.reportEvery } ?? true
        guard isDue || reports != known.reported else { return }
        let name = gateway.configuration.name
        try await database.transaction { transaction in
            try await Gateways.report(name, serves: reports, in: transaction)
        }
        known.reported = reports
        known.reportedAt = now
    }

    private func retire() async {
        let name = gateway.configuration.name
        do {
            try await database.transaction { transaction in try await Gateways.retire(name, in: transaction) }
        } catch {
            // The row goes by itself after an hour; a leaving gateway does not wait for the database.
            logger.warning("The database did not hear that this gateway ends", metadata: ["error": "\(error)"])
        }
    }
}
