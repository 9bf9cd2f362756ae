import Foundation
import NIOCore
import Synchronization
import Testing
import NauraRules
import NauraTestKit

@testable import NauraServing

@Suite("Fuzzed bodies")
struct FuzzTests {
    private static let seeds = [
        "/v1/models/churn:predict":
            #"{"instances":[{"tenure":3,"contract":"One year","charge":70.5,"senior":0},[1,"a",2,null]]}"#,
        "/v2/models/churn/infer":
            #"{"id":"a","inputs":[{"name":"tenure","shape":[2],"datatype":"FP32","data":[1,2]},{"name":"contract","shape":[2,1],"datatype":"BYTES","data":[["a"],["b"]]},{"name":"charge","shape":[2],"datatype":"INT8","data":[1,2]},{"name":"senior","shape":[2],"datatype":"BOOL","data":[true,false]}],"outputs":[{"name":"score"}]}"#,
        "/predict/churn": #"{"customerid":"0001"}"#,
    ]

    private static let damage = Damage(tokens: [
        "\\ud800", "\"shape\":[0]", "\"shape\":[99999999999]", "NaN", "\"tenure\"",
    ])

    @Test("whatever a body holds, the answer is 2xx or 4xx with `error`")
    func bodies() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let gateway = try folder.gateway(features: FixedFeatures())
        await gateway.install([ServingSample.route(champion)])
        try await withServer(gateway) { client in
            var random = SplitMix64(seed: Fuzz.seed)
            for (path, seed) in Self.seeds.sorted(by: { $0.key < $1.key }) {
                for _ in 0..<Fuzz.rounds {
                    let body = Self.damage.done(to: Array(seed.utf8), &random)
                    let answer = try await client.send("POST", path, body: body)
                    let isFine = (200..<300).contains(answer.status) || (400..<500).contains(answer.status)
                    #expect(isFine, "seed \(Fuzz.seed), \(answer.status): \(String(decoding: body, as: UTF8.self))")
                    if answer.status >= 400 { #expect(answer.error != nil, "\(answer.body)") }
                }
            }
        }
        #expect(gateway.counters.inFlight.load(ordering: .relaxed) == 0)
    }

    @Test("damaged instances are answered or refused, and what is answered is recorded as JSON")
    func instances() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let gateway = try folder.gateway()
        await gateway.install([ServingSample.route(champion)])
        let sink = RecordingSink()
        let reporter = Reporter(gateway, sink: sink)
        let call = Call(route: try gateway.route("churn"), pinned: nil, unit: nil, startedAt: 0)
        let seed = Array((Self.seeds["/v1/models/churn:predict"] ?? "").utf8)
        var random = SplitMix64(seed: Fuzz.seed)
        var answered = 0
        for _ in 0..<50 * Fuzz.rounds {
            do {
                let answer = try gateway.predict(call, body: .init(bytes: Self.damage.done(to: seed, &random)))
                #expect(answer.status == 200)
                answered += 1
            } catch is Refusal {
            } catch is JSONFault {
            }
        }
        reporter.publish()
        #expect(answered > 1_000)
        #expect(try sink.items().count >= answered)
    }
}
