import Foundation
import NauraData
import NauraEvents
import NauraModels
import NIOCore
import NauraStore
import Testing

@testable import NauraServing

@Suite("The gateway")
struct GatewayTests {
    /// Predicts once under a unit; the arm that answered, or nil for an error.
    private func arm(_ gateway: Gateway, unit: String, charge: String = "70") throws -> (status: Int, arm: String?) {
        let route = try gateway.route("churn")
        let call = Call(route: route, pinned: nil, unit: unit, startedAt: Clocks.monotonicNanoseconds())
        let body = #"{"instances":[{"tenure":3,"contract":"One year","charge":\#(charge),"senior":0}]}"#
        let answer = try gateway.predict(call, body: .init(string: body))
        return (answer.status, answer.prediction?.arm.arm.rawValue)
    }

    @Test("over HTTP the canary answers its share of units, always the same ones, by header and by column")
    func splits() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let canary = try ServingSample.store(try await ServingSample.package(seed: 2), version: 2, in: folder.artifacts)
        let gateway = try folder.gateway()
        gateway.confirmRoutes(asOf: .now)
        await gateway.install([ServingSample.route(champion, canary: canary, weight: 0.25)])
        let sink = RecordingSink()
        try await withServer(gateway, sink: sink) { client in
            for number in 0..<200 {
                let byHeader = try await client.predict(
                    ServingSample.instance, headers: ["x-naura-unit": "customer-\(number)"])
                let byColumn = try await client.predict(
                    #"{"customerid":"customer-\#(number)","# + ServingSample.instance.dropFirst())
                let expected = Split(salt: "salt-of-rollout-1", weight: 0.25)
                let isCanary = expected.isCanary(expected.place(of: "customer-\(number)"))
                #expect(byHeader.headers["x-naura-arm"] == (isCanary ? "canary" : "champion"))
                #expect(byColumn.headers["x-naura-arm"] == byHeader.headers["x-naura-arm"])
                #expect(byColumn.headers["x-naura-version"] == (isCanary ? "2" : "1"))
            }
        }
        let windows = sink.windows
        #expect(windows.map(\.number) == (1...Int64(windows.count)).map(\.self))
        #expect(windows.allSatisfy { $0.epoch == 1 && $0.weight == 0.25 && $0.canaryVersion == 2 })
        let units = windows.flatMap { $0.arms.flatMap(\.newUnits) }
        #expect(units.count == 200 && Set(units).count == 200)
        #expect(windows.flatMap(\.arms).reduce(0) { $0 + $1.requests } == 400)
        let items = try sink.items()
        #expect(items.count == 400)
        #expect(items.allSatisfy { $0.unit?.hasPrefix("customer-") == true && $0.score != nil })
        #expect(Set(items.map(\.predictionID)).count == 400)
        #expect(items.first?.features["contract"] == .text("One year"))
        #expect(items.first?.features["charge"] == .number(70.5))
        #expect(items.first?.features.count == 4)
    }

    @Test("routes older than they may be serve the champion alone, and the canary again once they are read")
    func staleness() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let canary = try ServingSample.store(try await ServingSample.package(seed: 2), version: 2, in: folder.artifacts)
        let gateway = try folder.gateway()
        await gateway.install([ServingSample.route(champion, canary: canary, weight: 1)])
        #expect(try arm(gateway, unit: "a").arm == "champion")
        gateway.confirmRoutes(asOf: .now)
        #expect(try arm(gateway, unit: "a").arm == "canary")
        let other = try folder.gateway { $0.routesFreshFor = .milliseconds(1) }
        await other.install([ServingSample.route(champion, canary: canary, weight: 1)])
        other.confirmRoutes(asOf: .now - .seconds(1))
        #expect(try arm(other, unit: "a").arm == "champion")
    }

    @Test(
        "a canary that answers no number is an error for its units and a first bad one each; the champion is untouched")
    func badCanary() async throws {
        let folder = try TestFolder()
        let package = try await ServingSample.package()
        let champion = try ServingSample.store(package, version: 1, in: folder.artifacts)
        let canary = try ServingSample.store(try ServingSample.failing(package), version: 2, in: folder.artifacts)
        let gateway = try folder.gateway()
        gateway.confirmRoutes(asOf: .now)
        await gateway.install([ServingSample.route(champion, canary: canary, weight: 0.5)])
        let sink = RecordingSink()
        let reporter = Reporter(gateway, sink: sink)
        var failed = 0
        for number in 0..<100 {
            let (status, arm) = try arm(gateway, unit: "u\(number)", charge: "1e25")
            #expect(status == (arm == "canary" ? 500 : 200))
            if arm == "canary" { failed += 1 }
            _ = try self.arm(gateway, unit: "u\(number)", charge: "1e25")
            #expect(try self.arm(gateway, unit: "u\(number)").status == 200)
        }
        reporter.publish()
        #expect(failed > 20)
        let arms = sink.windows.flatMap(\.arms)
        let bad = arms.filter { $0.arm == .canary }.flatMap(\.firstBad)
        #expect(bad.count == failed)
        #expect(bad.allSatisfy { $0.metric == .error })
        #expect(arms.filter { $0.arm == .champion }.flatMap(\.firstBad).isEmpty)
        let items = try sink.items()
        #expect(items.count { $0.score == nil } == failed * 2)
        #expect(items.filter { $0.score == nil }.allSatisfy { $0.arm == .canary && $0.version == 2 })
    }

    @Test("a package with another digest, another byte or other answers is refused, and the champion goes on")
    func refuses() async throws {
        let folder = try TestFolder()
        let package = try await ServingSample.package()
        let champion = try ServingSample.store(package, version: 1, in: folder.artifacts)
        let gateway = try folder.gateway()
        await gateway.install([ServingSample.route(champion)])
        let stored = try ServingSample.store(try await ServingSample.package(seed: 2), version: 2, in: folder.artifacts)
        let misnamed = RoutedVersion(version: 2, digest: package.digest, artifact: stored.artifact)
        await gateway.install([ServingSample.route(misnamed, epoch: 2)])
        #expect(gateway.reports.first?.champion == 1)
        #expect(gateway.reports.first?.epoch == 1)
        #expect(gateway.reports.first?.fault?.contains("digest-mismatch") == true)
        #expect(try arm(gateway, unit: "a").status == 200)
        #expect(gateway.isReady, "the version before it still answers")

        await gateway.install([ServingSample.route(champion, epoch: 3, canary: misnamed, weight: 0.5)])
        gateway.confirmRoutes(asOf: .now)
        #expect(gateway.reports.first?.canary == nil)
        #expect(gateway.reports.first?.fault?.contains("digest-mismatch") == true)
        for unit in 0..<50 { #expect(try arm(gateway, unit: "u\(unit)").arm == "champion") }

        let missing = RoutedVersion(
            version: 9, digest: package.digest, artifact: String(repeating: "0", count: 64))
        await gateway.install([ServingSample.route(missing, epoch: 4)])
        #expect(gateway.reports.first?.fault?.contains("package-missing") == true)
        #expect(try arm(gateway, unit: "a").status == 200)
    }

    @Test("a changed byte in the store is noticed before the file is parsed")
    func damaged() async throws {
        let folder = try TestFolder()
        let version = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let store = try ArtifactStore(directory: folder.artifacts)
        let package = try store.openPackage(version.artifact)
        let path = store.path(of: try #require(package.files["model.json"]))
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: URL(fileURLWithPath: path))
        let gateway = try folder.gateway()
        await gateway.install([ServingSample.route(version)])
        #expect(gateway.reports.first?.fault?.contains("package-refused") == true)
        #expect(throws: Refusal.self) { try arm(gateway, unit: "a") }
    }

    @Test("a gateway starts from disk with the artifact store gone, and serves the champion alone")
    func restarts() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let canary = try ServingSample.store(try await ServingSample.package(seed: 2), version: 2, in: folder.artifacts)
        let routes = [ServingSample.route(champion, canary: canary, weight: 0.9)]
        let first = try folder.gateway()
        await first.install(routes)
        try first.cache.store(routes)
        try FileManager.default.removeItem(atPath: folder.artifacts)
        let second = try folder.gateway()
        await second.install(try #require(try second.cache.load()))
        for unit in 0..<20 { #expect(try arm(second, unit: "u\(unit)").arm == "champion") }
        #expect(second.boot != first.boot)
        second.confirmRoutes(asOf: .now)
        #expect(second.reports.first?.canary == 2)
        for unit in 0..<100 {
            first.confirmRoutes(asOf: .now)
            #expect(try arm(second, unit: "u\(unit)").arm == arm(first, unit: "u\(unit)").arm)
        }
    }

    @Test("a damaged copy in the cache is replaced from the store")
    func heals() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let first = try folder.gateway()
        await first.install([ServingSample.route(champion)])
        let cache = try ArtifactStore(directory: folder.cache + "/packages")
        let package = try cache.openPackage(champion.artifact)
        let path = cache.path(of: try #require(package.files["model.json"]))
        try Data("nothing".utf8).write(to: URL(fileURLWithPath: path))
        let second = try folder.gateway()
        await second.install([ServingSample.route(champion)])
        #expect(second.reports.first?.fault == nil)
        #expect(try arm(second, unit: "a").status == 200)
        #expect(throws: Never.self) { try cache.packageFiles(champion.artifact) }
    }

    @Test("versions are swapped under traffic without one failed request")
    func hotSwap() async throws {
        let folder = try TestFolder()
        let one = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let two = try ServingSample.store(try await ServingSample.package(seed: 2), version: 2, in: folder.artifacts)
        let gateway = try folder.gateway()
        gateway.confirmRoutes(asOf: .now)
        await gateway.install([ServingSample.route(one)])
        let versions = try await withServer(gateway) { client in
            try await withThrowingTaskGroup(of: Set<String>.self) { group in
                for worker in 0..<4 {
                    group.addTask {
                        var seen: Set<String> = []
                        for number in 0..<150 {
                            let answer = try await client.predict(
                                ServingSample.instance, headers: ["x-naura-unit": "\(worker)-\(number)"])
                            #expect(answer.status == 200)
                            seen.insert(answer.headers["x-naura-version"] ?? "none")
                        }
                        return seen
                    }
                }
                for epoch in 2..<40 as Range<Int64> {
                    let (champion, canary) = epoch % 2 == 0 ? (two, one) : (one, two)
                    await gateway.install([ServingSample.route(champion, epoch: epoch, canary: canary, weight: 0.5)])
                    await Task.yield()
                }
                return try await group.reduce(into: Set<String>()) { $0.formUnion($1) }
            }
        }
        #expect(versions.isSubset(of: ["1", "2"]))
        #expect(gateway.measurements.loadedModels == 2)
        #expect(gateway.measurements.arms.reduce(0) { $0 + $1.requests } == 600)
    }

    @Test("arms with other columns: a row may have what either knows, and must have what its own arm needs")
    func otherColumns() async throws {
        let folder = try TestFolder()
        let package = try await ServingSample.package()
        let version = try ServingSample.store(package, version: 1, in: folder.artifacts)
        let model = try package.served()
        let arm = LoadedArm(
            .champion, version: version, model: model, route: ServingSample.route(version), other: nil,
            metrics: ArmMetrics(model: "churn", version: 1))
        #expect(arm.columns.column(named: "brand-new") == .unknown)
        let table = ColumnTable(features: model.signature.inputs, unit: nil, key: nil, other: ["brand-new"])
        #expect(table.column(named: "brand-new") == .ignored)
        #expect(table.column(named: "tenure") == .position(0))
    }
}
