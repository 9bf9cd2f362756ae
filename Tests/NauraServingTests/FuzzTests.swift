import Foundation
import NIOCore
import Synchronization
import Testing

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

    private func mutated(_ seed: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        let tokens = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "-", "1e999", "9223372036854775808", "\\ud800",
            "é",
            "\u{0}", "[[[[[[[[", "\"shape\":[0]", "\"shape\":[99999999999]", "NaN", "\"tenure\"", " ",
        ]
        var bytes = seed
        for _ in 0...random.next() % 4 where !bytes.isEmpty {
            let position = Int(random.next() % UInt64(bytes.count))
            switch random.next() % 5 {
            case 0: bytes[position] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.removeSubrange(position..<min(bytes.count, position + Int(random.next() % 12)))
            case 2:
                bytes.insert(contentsOf: Array(tokens[Int(random.next() % UInt64(tokens.count))].utf8), at: position)
            case 3: bytes = Array(bytes[..<position])
            default:
                let end = min(bytes.count, position + Int(random.next() % 40))
                bytes.insert(contentsOf: Array(bytes[position..<end]), at: position)
            }
        }
        return bytes
    }

    @Test("whatever a body holds, the answer is 2xx or 4xx with `error`")
    func bodies() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let gateway = try folder.gateway(features: FixedFeatures())
        await gateway.install([ServingSample.route(champion)])
        try await withServer(gateway) { client in
            var random = SplitMix(state: 11)
            for (path, seed) in Self.seeds.sorted(by: { $0.key < $1.key }) {
                for _ in 0..<1_500 {
                    let body = mutated(Array(seed.utf8), &random)
                    let answer = try await client.send("POST", path, body: body)
                    let isFine = (200..<300).contains(answer.status) || (400..<500).contains(answer.status)
                    #expect(isFine, "\(answer.status): \(String(decoding: body, as: UTF8.self))")
                    if answer.status >= 400 { #expect(answer.error != nil, "\(answer.body)") }
                }
            }
        }
        #expect(gateway.counters.inFlight.load(ordering: .relaxed) == 0)
    }

    @Test("a hundred thousand mutated instances are answered or refused, and what is answered is recorded as JSON")
    func instances() async throws {
        let folder = try TestFolder()
        let champion = try ServingSample.store(try await ServingSample.package(), version: 1, in: folder.artifacts)
        let gateway = try folder.gateway()
        await gateway.install([ServingSample.route(champion)])
        let sink = RecordingSink()
        let reporter = Reporter(gateway, sink: sink)
        let call = Call(route: try gateway.route("churn"), pinned: nil, unit: nil, startedAt: 0)
        let seed = Array((Self.seeds["/v1/models/churn:predict"] ?? "").utf8)
        var random = SplitMix(state: 12)
        var answered = 0
        for _ in 0..<100_000 {
            do {
                let answer = try gateway.predict(call, body: .init(bytes: mutated(seed, &random)))
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
