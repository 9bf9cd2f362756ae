import AsyncHTTPClient
import Foundation
import Logging
import NauraData
import NauraEvents
import NauraModels
import NauraRules
import NauraStore
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization

@testable import NauraServing

/// Small trained models of made-up customers, the same on every machine.
enum ServingSample {
    static let inputs = [
        ModelInput(name: "tenure", type: .number), ModelInput(name: "contract", type: .text),
        ModelInput(name: "charge", type: .number), ModelInput(name: "senior", type: .number),
    ]
    static let contracts = ["Month-to-month", "One year", "Two year", "été \"special\""]

    /// A row as a client sends it.
    static let instance = #"{"tenure":3,"contract":"One year","charge":70.5,"senior":0}"#

    /// A package; another seed gives other trees.
    static func package(seed: UInt64 = 1, rounds: Int = 5) async throws -> ModelPackage {
        var random = SplitMix64(seed: seed)
        var rows: [[CellValue]] = []
        var labels: [Bool] = []
        for _ in 0..<300 {
            let tenure = Double(random.next() % 72)
            let contract = contracts[Int(random.next() % 4)]
            let charge = Double(random.next() % 10_000) / 100 + 18.25
            rows.append([.number(tenure), .text(contract), .number(charge), .number(Double(random.next() % 2))])
            labels.append(random.next() % 100 < (contract == "Month-to-month" ? 60 : 15))
        }
        let encoder = try FeatureEncoder.fit(inputs, rows: rows)
        var matrix = TrainingMatrix(width: encoder.width)
        for (row, label) in zip(rows, labels) { matrix.append(row, isPositive: label, encoder: encoder) }
        let parameters = [(name: "max_depth", value: "3"), (name: "seed", value: "7")]
        let json = try await XGBoostTrainer(rounds: rounds, parameters: parameters).train(matrix)
        var reference = ReferenceFit(inputs, categoriesMax: 64)
        for row in rows { reference.add(row) }
        return try ModelPackage(
            model: json, encoder: encoder, reference: reference.reference(scores: [0.1, 0.2, 0.3]), samples: rows)
    }

    /// The package with trees that give no number where `charge` is 1e20 or more, which its samples do not reach.
    static func failing(_ package: ModelPackage) throws -> ModelPackage {
        let names = try package.served().encoder.encodedNames
        let json = try TreeGraft.appending(
            to: package.bytes(of: "model.json"), column: names.firstIndex(of: "charge") ?? 0, condition: 1e20, low: 0,
            high: .nan)
        return try package.replacingModel(json)
    }

    /// Stores `package`, and names it as version `version`.
    static func store(_ package: ModelPackage, version: Int, in artifacts: String) throws -> RoutedVersion {
        let files = Dictionary(uniqueKeysWithValues: package.files.map { ($0.path, $0.bytes) })
        let stored = try ArtifactStore(directory: artifacts).putPackage(files)
        return RoutedVersion(version: version, digest: package.digest, artifact: stored.sha256)
    }

    static let view = ServedView(
        id: 7, name: "profile", joinKey: "customerid", ttlSeconds: 3_600,
        features: [
            .init(name: "tenure", type: .number), .init(name: "contract", type: .text),
            .init(name: "charge", type: .number), .init(name: "senior", type: .number),
        ])

    static func route(
        _ champion: RoutedVersion?, epoch: Int64 = 1, canary: RoutedVersion? = nil, weight: Double = 0,
        unit: String? = "customerid", slowSeconds: Double? = 60, model: String = "churn"
    ) -> ServedRoute {
        ServedRoute(
            model: model, epoch: epoch, champion: champion, canary: canary, weight: weight, salt: "salt-of-rollout-1",
            rollout: canary == nil ? nil : 1, unit: unit, slowSeconds: slowSeconds, views: [view])
    }
}

/// A folder of its own for one test, gone with it.
final class TestFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "naura-serving-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path)") }
    }

    var artifacts: String { path + "/artifacts" }
    var cache: String { path + "/cache" }

    func configuration(token: String? = nil) -> ServingConfiguration {
        ServingConfiguration(
            name: "gateway-1", token: token.flatMap { AccessToken($0) }, cacheDirectory: cache,
            artifactsDirectory: artifacts)
    }

    func gateway(
        features: (any FeatureSource)? = nil, token: String? = nil,
        _ change: (inout ServingConfiguration) -> Void = { _ in }
    ) throws -> Gateway {
        var configuration = configuration(token: token)
        change(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try Gateway(configuration: configuration, features: features, logger: logger)
    }
}

/// Keeps what a gateway publishes.
final class RecordingSink: ServingSink {
    private let state = Mutex<(batches: [PredictionBatch], windows: [ServingWindow])>(([], []))

    func publish(_ batch: PredictionBatch) { state.withLock { $0.batches.append(batch) } }
    func publish(_ window: ServingWindow) { state.withLock { $0.windows.append(window) } }

    var batches: [PredictionBatch] { state.withLock { $0.batches } }
    var windows: [ServingWindow] { state.withLock { $0.windows } }

    /// All items published, read back through the event's own type.
    func items() throws -> [Predictions.Item] {
        try batches.flatMap { try CodableTimes.decoder.decode(Predictions.self, from: Data($0.body)).items }
    }
}

/// An online store of fixed rows.
struct FixedFeatures: FeatureSource {
    var rows: [String: [OnlineRow]] = [:]
    var isAway = false

    func rows(of views: [Int32], key: String) async throws -> [OnlineRow] {
        if isAway { throw DeadlinePassed() }
        return rows[key] ?? []
    }
}

/// An HTTP answer, read whole.
struct TestAnswer {
    let status: Int
    let headers: [String: String]
    let body: String

    func json() throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any] ?? [:]
    }

    var error: String? {
        do { return try json()["error"] as? String } catch { return nil }
    }
}

/// Speaks to one server.
struct TestClient {
    let port: Int

    func send(
        _ method: String, _ path: String, body: [UInt8]? = nil, headers: [String: String] = [:]
    ) async throws -> TestAnswer {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
        request.method = .init(rawValue: method)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let bytes = try await response.body.collect(upTo: 16 << 20)
        return TestAnswer(
            status: Int(response.status.code),
            headers: Dictionary(
                response.headers.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { first, _ in first }),
            body: String(buffer: bytes))
    }

    func post(_ path: String, _ body: String, headers: [String: String] = [:]) async throws -> TestAnswer {
        try await send("POST", path, body: Array(body.utf8), headers: headers)
    }

    func predict(_ instance: String, headers: [String: String] = [:]) async throws -> TestAnswer {
        try await post("/v1/models/churn:predict", #"{"instances":[\#(instance)]}"#, headers: headers)
    }
}

/// Runs `body` against the real server of `gateway`, on a free port.
func withServer<R: Sendable>(
    _ gateway: Gateway, sink: (any ServingSink)? = nil, _ body: (TestClient) async throws -> R
) async throws -> R {
    let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
    let http = ServingServer.http(gateway) { port in continuation.yield(port) }
    var services: [any Service] = [http]
    if let sink { services.insert(Reporter(gateway, sink: sink), at: 0) }
    let group = ServiceGroup(configuration: .init(services: services, logger: Logger(label: "test")))
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        guard let port = await iterator.next() else { throw CancellationError() }
        let result = try await body(TestClient(port: port))
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return result
    }
}
