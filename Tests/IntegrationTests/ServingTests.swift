import Foundation
import NauraPostgres
import NauraServing
import NauraTestKit
import Testing

@Suite("The gateway and the database", .serialized, .enabled(if: TestDatabase.isConfigured, "needs PostgreSQL"))
struct ServingTests {
    @Test("routes are followed within a second of their change, and the database is told what is served")
    func follows() async throws {
        try await ServingStand.with { stand in
            try await stand.knowCustomer()
            try await stand.withGateway("gateway-1") { client, _ in
                #expect(try await eventually { try await client.predict().status == 503 })
                try await stand.crown(1)
                #expect(try await eventually { try await client.predict().version == "1" })
                #expect(try await client.isReady())
                #expect(try await client.predictByKey().status == 200)
                // Not at once where the database is slow to answer: that is a 503.
                #expect(
                    try await eventually {
                        try await client.post("/predict/churn", #"{"customerid":"9"}"#).status == 404
                    })
                let changed = ContinuousClock.now
                try await stand.shiftToCanary()
                #expect(try await eventually { try await client.predict().version == "2" })
                #expect(ContinuousClock.now - changed < .seconds(2))
                #expect(
                    try await eventually {
                        let row = try await stand.database.first(
                            "select epoch, champion, canary, fault from naura.gateway where gateway = 'gateway-1'")
                        return try row?.get("epoch", as: Int64.self) == 2 && row?.get("champion", as: Int?.self) == 1
                            && row?.get("canary", as: Int?.self) == 2 && row?.get("fault", as: String?.self) == nil
                    })
            }
            // A gateway that has ended in order serves nothing.
            #expect(try await stand.database.query("select 1 from naura.gateway").isEmpty)
        }
    }

    @Test(
        "with the database stopped it answers on, first by its routes, then by the champion alone, also after a restart"
    )
    func outlives() async throws {
        try await ServingStand.with { stand in
            try await stand.knowCustomer()
            try await stand.crown(1)
            try await stand.shiftToCanary()
            try await stand.withGateway("gateway-1") { client, _ in
                #expect(try await eventually { try await client.predict().version == "2" })
                try await stand.cluster.stop()
                #expect(try await client.predict().status == 200)
                let byKey = try await client.predictByKey()
                #expect(byKey.status == 503)
                #expect(byKey.retryAfter == "1")
                // Routes count as current for three seconds here.
                #expect(try await eventually { try await client.predict().version == "1" })
                #expect(try await client.predict().status == 200)
            }
            try await stand.withGateway("gateway-1") { client, _ in
                #expect(try await eventually { try await client.isReady() })
                #expect(try await client.predict().version == "1")
                _ = try await stand.cluster.ensureRunning()
                #expect(try await eventually { try await client.predict().version == "2" })
                #expect(try await eventually { try await client.predictByKey().status == 200 })
            }
        }
    }
}
