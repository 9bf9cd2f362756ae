import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NauraData
import NauraEvents
import NauraModels
import NauraRules
import NauraServing
import NauraStore
import ServiceLifecycle
import UnixSignals

/// A server that tells its port on the standard output and runs until it is ended.
enum BenchServer {
    static func run(_ kind: String) async throws {
        var logger = Logger(label: "bench")
        logger.logLevel = .critical
        let told: @Sendable (Int) async -> Void = { port in
            FileHandle.standardOutput.write(Data("\(port)\n".utf8))
        }
        var services: [any Service] = []
        if kind == "echo" {
            let router = Router()
            router.post("/echo") { request, _ -> ByteBuffer in try await request.body.collect(upTo: 1 << 20) }
            services = [
                Application(
                    router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
                    onServerRunning: { channel in await told(channel.localAddress?.port ?? 0) }, logger: logger)
            ]
        } else {
            let gateway = try await gateway(kind, logger: logger)
            services = [Reporter(gateway, sink: Nowhere()), ServingServer.http(gateway, onAddress: told)]
        }
        try await ServiceGroup(
            configuration: .init(services: services, gracefulShutdownSignals: [.sigterm], logger: logger)
        ).run()
    }
}

extension BenchServer {
    /// A gateway of that kind, its model loaded.
    static func gateway(_ kind: String, logger: Logger) async throws -> Gateway {
        let folder = NSTemporaryDirectory() + "naura-serving-benchmark"
        var configuration = ServingConfiguration(
            name: "bench", cacheDirectory: folder + "/cache", artifactsDirectory: folder + "/artifacts")
        configuration.recordsPredictions = kind != "gateway-bare"
        let gateway = try Gateway(configuration: configuration, features: nil, logger: logger)
        await gateway.serve([
            try await BenchModel.route(artifacts: folder + "/artifacts", hasCanary: kind == "gateway-canary")
        ])
        return gateway
    }
}

/// The gateway without HTTP: how long its own work takes.
enum InlineRun {
    static func run(requests: Int) async throws {
        for kind in ["gateway-bare", "gateway", "gateway-canary"] {
            let gateway = try await BenchServer.gateway(kind, logger: Logger(label: "bench"))
            let reporter = Reporter(gateway, sink: Nowhere())
            let responder = GatewayResponder(gateway)
            let head = HTTPRequest(method: .post, scheme: nil, authority: nil, path: "/v1/models/bench:predict")
            let body = ByteBuffer(string: BenchModel.body)
            // In a task of its own, as a connection's is: on the main actor each call would change threads twice.
            let elapsed = try await withThrowingTaskGroup(of: Duration.self) { group in
                group.addTask {
                    let start = ContinuousClock.now
                    for number in 0..<requests {
                        let response = try await responder.respond(
                            to: Request(head: head, body: .init(buffer: body)), context: GatewayContext())
                        precondition(response.status == .ok)
                        if number % 1_000 == 0 { reporter.publish() }
                    }
                    return ContinuousClock.now - start
                }
                return try await group.next() ?? .zero
            }
            print("\(kind): \(elapsed / .nanoseconds(1) / Double(requests)) ns a request")
        }
    }
}

/// Takes telemetry and forgets it.
struct Nowhere: ServingSink {
    func publish(_ batch: PredictionBatch) {}
    func publish(_ window: ServingWindow) {}
}

/// A model of the usual shape, 100 trees of depth 6 over 19 features, and a row for it.
enum BenchModel {
    static let inputs: [ModelInput] = (0..<19).map { number in
        ModelInput(name: "feature-\(number)", type: number % 2 == 0 ? .text : .number)
    }

    static func route(artifacts: String, hasCanary: Bool) async throws -> ServedRoute {
        var seed: UInt64 = 7
        func next() -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(seed >> 33)
        }
        var rows: [[CellValue]] = []
        var labels: [Bool] = []
        for _ in 0..<3_000 {
            let row: [CellValue] = inputs.map { input in
                input.type == .text ? .text("category \(next() % 3)") : .number(Double(next() % 10_000) / 100)
            }
            rows.append(row)
            labels.append((row[1].number ?? 0) + Double(next() % 60) > 80)
        }
        let encoder = try FeatureEncoder.fit(inputs, rows: rows)
        var matrix = TrainingMatrix(width: encoder.width)
        for (row, label) in zip(rows, labels) { matrix.append(row, isPositive: label, encoder: encoder) }
        var reference = ReferenceFit(inputs, categoriesMax: 64)
        for row in rows { reference.add(row) }
        let package = try ModelPackage(
            model: try await XGBoostTrainer(rounds: 100, parameters: [("max_depth", "6")]).train(matrix),
            encoder: encoder, reference: reference.reference(scores: [0.1, 0.9]), samples: rows)
        let files = Dictionary(uniqueKeysWithValues: package.files.map { ($0.path, $0.bytes) })
        let stored = try ArtifactStore(directory: artifacts).putPackage(files)
        func version(_ number: Int) -> RoutedVersion {
            RoutedVersion(version: number, digest: package.digest, artifact: stored.sha256)
        }
        return ServedRoute(
            model: "bench", epoch: 1, champion: version(1), canary: hasCanary ? version(2) : nil,
            weight: hasCanary ? 0.5 : 0, salt: "bench", rollout: hasCanary ? 1 : nil, unit: nil,
            slowSeconds: hasCanary ? 1 : nil)
    }

    /// One instance, as a client sends it.
    static var body: String {
        let fields = inputs.enumerated().map { number, input in
            input.type == .text ? "\"\(input.name)\":\"category \(number % 3)\"" : "\"\(input.name)\":\(number).25"
        }
        return "{\"instances\":[{\(fields.joined(separator: ","))}]}"
    }

    /// The bytes of one request.
    static func request(path: String) -> ByteBuffer {
        ByteBuffer(
            string: "POST \(path) HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                + "content-length: \(body.utf8.count)\r\n\r\n\(body)")
    }
}
