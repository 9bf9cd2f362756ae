// What ops/ asks of the workers is what they have.

import Foundation
import Testing

@Suite("ops/ and the workers agree")
struct OperationsTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private func texts(under folders: [String], endings: [String]) throws -> [String] {
        try folders.flatMap { folder -> [String] in
            let place = Self.root.appending(path: folder)
            let names = try FileManager.default.subpathsOfDirectory(atPath: place.path)
            return try names.filter { name in endings.contains { name.hasSuffix($0) } }
                .map { try String(contentsOf: place.appending(path: $0), encoding: .utf8) }
        }
    }

    private func metrics(in text: String) -> Set<String> {
        Set(
            text.matches(of: /naura_[a-z]+(?:_[a-z]+)*_(?:total|events|seconds|bytes|requests|routes|models|state)/).map
            { String($0.output) })
    }

    @Test("every metric that an alert, a scaler or a test of them reads is one that a worker exports")
    func metricsExist() throws {
        let wanted = try texts(under: ["ops"], endings: [".yml", ".yaml"]).reduce(into: Set<String>()) {
            $0.formUnion(metrics(in: $1))
        }
        let exported = try texts(under: ["Sources", "workers"], endings: [".swift"]).reduce(into: Set<String>()) {
            $0.formUnion(metrics(in: $1))
        }
        #expect(wanted.contains("naura_consumer_lag_events"))
        #expect(wanted.isSubset(of: exported), "\(wanted.subtracting(exported))")
    }

    @Test("every worker is a service of compose and a Deployment, and each is scraped")
    func workersAreDeployed() throws {
        let workers = try FileManager.default.contentsOfDirectory(atPath: Self.root.appending(path: "workers").path)
            .filter { !$0.contains(".") }
        #expect(workers.count >= 10)
        let compose = try String(contentsOf: Self.root.appending(path: "docker-compose.yml"), encoding: .utf8)
        let cluster = try String(contentsOf: Self.root.appending(path: "ops/kubernetes/workers.yaml"), encoding: .utf8)
        let scrape = try String(contentsOf: Self.root.appending(path: "ops/prometheus/prometheus.yml"), encoding: .utf8)
        for worker in workers {
            #expect(compose.contains("\n  \(worker):\n"), "\(worker)")
            #expect(cluster.contains("\n  name: \(worker)\n"), "\(worker)")
            #expect(scrape.contains(worker), "\(worker)")
        }
    }
}
