import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraTestKit
import Testing

@Suite(
    "Publishing over HTTP", .serialized, .timeLimit(.minutes(3)),
    .enabled(if: TestBroker.isAvailable, "needs the program tansu"),
    .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct PublishTests {
    private struct Accepted: Decodable {
        let id: String
        let repeated: Bool
    }

    /// Publishes number `number` under a key of its own.
    private func publish(_ number: Int, to api: RunningAPI) async throws -> Accepted {
        var request = HTTPClientRequest(url: api.address + "/api/v1/events/new-data")
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "idempotency-key", value: "upload-\(number)")
        request.body = .bytes(ByteBuffer(string: #"{"dataset":"d\#(number % 7)","uri":"file:///ok/\#(number)"}"#))
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 10_000)
        guard response.status.code == 202 else {
            throw HarnessError(description: "\(response.status): \(String(buffer: body))")
        }
        return try JSONDecoder().decode(Accepted.self, from: Data(body.readableBytesView))
    }

    @Test("10,000 publishes by eight clients, a tenth of them sent twice: each id once in the outbox and in the inbox")
    func tenThousand() async throws {
        let count = 10_000
        try await RuntimeHarness.with { harness in
            let probe = try await harness.startReady()
            let ids: Set<String> = try await RunningAPI.with(harness.database) { api in
                try await withThrowingTaskGroup(of: Set<String>.self) { group in
                    for client in 0..<8 {
                        group.addTask {
                            var ids: Set<String> = []
                            for number in stride(from: client, to: count, by: 8) {
                                let accepted = try await publish(number, to: api)
                                ids.insert(accepted.id)
                                guard number % 10 == 0 else { continue }
                                let again = try await publish(number, to: api)
                                guard again.id == accepted.id, again.repeated else {
                                    throw HarnessError(description: "number \(number) was published twice")
                                }
                            }
                            return ids
                        }
                    }
                    return try await group.reduce(into: Set<String>()) { $0.formUnion($1) }
                }
            }
            #expect(ids.count == count)
            #expect(try await harness.count("ledger.outbox", "type = 'new-data'") == count)
            #expect(try await harness.waitFor(count, in: "probe.effect"))
            #expect(try await harness.waitUntilSent())
            #expect(try await harness.count("ledger.inbox", "stage = 'probe'") == count)
            #expect(try await harness.count("probe.effect") == count)
            #expect(try await harness.repeated() == 0)
            #expect(await probe.stop() == 0)
        }
    }
}
