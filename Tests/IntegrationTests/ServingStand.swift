import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NauraData
import NauraEvents
import NauraModels
import NauraPostgres
import NauraRules
import NauraServing
import NauraStore
import NauraTestKit
import ServiceLifecycle

/// A database server of its own, which a test may stop, with a model `churn` and two versions of it.
struct ServingStand {
    let cluster: LocalCluster
    let url: String
    let folder: String
    let database: Database

    static let logger: Logger = {
        var logger = Logger(label: "serving-test")
        logger.logLevel = .critical
        return logger
    }()

    static func with(_ body: (ServingStand) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-serving-\(UUID().uuidString)")
        let cluster = LocalCluster(
            directory: folder.appending(path: "postgres"), settings: ["fsync": "off"], logger: logger)
        let url = try await cluster.ensureRunning().absoluteString
        let database = Database(url: url, applicationName: "serving test", logger: logger)
        let stand = ServingStand(cluster: cluster, url: url, folder: folder.path, database: database)
        do {
            _ = try await Migrator(files: TestDatabase.migrations).run(on: database)
            try await stand.prepare()
            try await body(stand)
            try await stand.end()
        } catch {
            try await stand.end()
            throw error
        }
    }

    private func end() async throws {
        await database.close()
        try await cluster.destroy()
        if FileManager.default.fileExists(atPath: folder) { try FileManager.default.removeItem(atPath: folder) }
    }

    /// Applies a project, and registers the versions 1 and 2.
    private func prepare() async throws {
        let store = try ArtifactStore(directory: folder + "/artifacts")
        let project = ProjectDefinition(
            name: "churn", datasets: ["customers": DatasetDefinition(name: "customers", key: "customerid")],
            featureViews: ["profile": Self.view], models: ["churn": Self.model])
        let packages = [try await Self.package(seed: 1), try await Self.package(seed: 2)]
        try await database.transaction { transaction in
            _ = try await Projects.apply(project, sha256: "1", source: "", by: "test", in: transaction)
            for package in packages {
                let files = Dictionary(uniqueKeysWithValues: package.files.map { ($0.path, $0.bytes) })
                _ = try await ModelVersions.registerByHand(
                    model: "churn", digest: package.digest, artifact: try store.putPackage(files).sha256,
                    description: "", actor: "test", in: transaction)
            }
        }
    }

    static let view = FeatureViewDefinition(
        name: "profile", entity: "customer", joinKey: "customerid", dataset: "customers",
        features: [
            FeatureDefinition(name: "tenure", expression: .column("tenure"), type: .number),
            FeatureDefinition(name: "contract", expression: .column("contract"), type: .text),
        ])

    static let model = ModelDefinition(
        name: "churn", label: LabelDefinition(dataset: "customers", column: "churn"), features: ["profile"],
        rollout: RolloutPolicy(unit: "customerid"))

    static func package(seed: Int) async throws -> ModelPackage {
        let inputs = [ModelInput(name: "tenure", type: .number), ModelInput(name: "contract", type: .text)]
        let rows: [[CellValue]] = (0..<200).map { number in
            [.number(Double(number * seed % 71)), .text(["monthly", "yearly"][number % 2])]
        }
        let encoder = try FeatureEncoder.fit(inputs, rows: rows)
        var matrix = TrainingMatrix(width: encoder.width)
        for (number, row) in rows.enumerated() {
            matrix.append(row, isPositive: number * seed % 71 < 30, encoder: encoder)
        }
        var reference = ReferenceFit(inputs, categoriesMax: 64)
        for row in rows { reference.add(row) }
        return try ModelPackage(
            model: try await XGBoostTrainer(rounds: 3, parameters: [("max_depth", "2")]).train(matrix),
            encoder: encoder, reference: reference.reference(scores: [0.1, 0.9]), samples: rows)
    }

    func crown(_ version: Int) async throws {
        try await database.transaction { _ = try await Routes.crown(version, of: "churn", in: $0) }
    }

    /// Begins a rollout of version 2 that everybody meets.
    func shiftToCanary() async throws {
        try await database.transaction { transaction in
            let row = try await transaction.first(
                """
                insert into naura.rollout (model, version, digest, salt, state, rules, cause_id, root_id)
                values ('churn', 2, 'd', 'salt', 'running', \(json: Self.model.rollout), 'c', 'c') returning id
                """)
            guard let id = try row?.get("id", as: Int.self) else { throw CancellationError() }
            _ = try await Routes.shift(
                "churn", to: 2, weight: 1, salt: "salt", rollout: id, in: transaction)
        }
    }

    /// Gives the customer 0001 an online row.
    func knowCustomer() async throws {
        try await database.update(
            """
            insert into naura.online_row (view_id, entity_key, event_at, created_at, number, row_number, numbers, texts)
            select id, '0001', now(), now(), 1, 1, \([7.0 as Double?]), \(["monthly" as String?])
            from naura.feature_view where name = 'profile'
            """)
    }

    /// Runs a gateway of its own pool and process state over this stand, and stops it in order.
    func withGateway<R: Sendable>(
        _ name: String, _ body: (ServingClient, Gateway) async throws -> R
    ) async throws -> R {
        var configuration = ServingConfiguration(
            name: name, cacheDirectory: folder + "/cache", artifactsDirectory: folder + "/artifacts")
        configuration.routesFreshFor = .seconds(3)
        let pool = Database(url: url, applicationName: name, logger: Self.logger)
        let gateway = try Gateway(configuration: configuration, features: DatabaseFeatures(pool), logger: Self.logger)
        let (ports, told) = AsyncStream.makeStream(of: Int.self)
        let services = ServingServer.services(gateway, database: pool, sink: Nowhere()) { told.yield($0) }
        let group = ServiceGroup(configuration: .init(services: services, logger: Self.logger))
        let result = try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var iterator = ports.makeAsyncIterator()
            guard let port = await iterator.next() else { throw CancellationError() }
            let result = try await body(ServingClient(address: "http://127.0.0.1:\(port)"), gateway)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            return result
        }
        await pool.close()
        return result
    }

    private struct Nowhere: ServingSink {
        func publish(_ batch: PredictionBatch) {}
        func publish(_ window: ServingWindow) {}
    }
}

/// Asks a gateway.
struct ServingClient {
    let address: String

    func post(_ path: String, _ body: String) async throws -> (status: Int, version: String?, retryAfter: String?) {
        var request = HTTPClientRequest(url: address + path)
        request.method = .POST
        request.body = .bytes(ByteBuffer(string: body))
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        _ = try await response.body.collect(upTo: 1 << 20)
        return (
            Int(response.status.code), response.headers.first(name: "x-naura-version"),
            response.headers.first(name: "retry-after")
        )
    }

    func predict() async throws -> (status: Int, version: String?, retryAfter: String?) {
        try await post("/v1/models/churn:predict", #"{"instances":[{"tenure":7,"contract":"monthly"}]}"#)
    }

    func predictByKey() async throws -> (status: Int, version: String?, retryAfter: String?) {
        try await post("/predict/churn", #"{"customerid":"0001"}"#)
    }

    func isReady() async throws -> Bool {
        try await HTTPClient.shared.execute(
            HTTPClientRequest(url: address + "/v2/health/ready"), timeout: .seconds(30)
        ).status == .ok
    }
}
