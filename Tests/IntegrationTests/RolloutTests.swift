import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore
import NauraTestKit
import Testing

@testable import rollout

/// A model with versions, and what gateways say of it.
private struct Stand {
    static let model: ModelID = "churn"
    /// No waiting, and verdicts within a few hundred units.
    static let quick = RolloutPolicy(
        bakeSeconds: [0], errorMargin: 0.05, slowMargin: 0.05, minUnits: 50, warmUpUnits: 0, warmUpSeconds: 0)

    let database: Database

    init(_ database: Database, policy: RolloutPolicy = Stand.quick, versions: Int = 4) async throws {
        self.database = database
        let definition = ModelDefinition(
            name: "churn", label: LabelDefinition(dataset: "customers", column: "churn"), features: [], rollout: policy)
        try await database.transaction { transaction in
            try await transaction.execute(
                """
                insert into naura.model (name, project, project_version, definition)
                values ('churn', 'churn', 1, \(json: definition))
                """)
            try await transaction.execute("insert into naura.registered_model (name) values ('churn')")
            for version in 1...versions {
                try await transaction.execute(
                    """
                    insert into naura.model_version (model, version, digest, artifact, state)
                    values ('churn', \(version)::int, \("digest-\(version)"), \("artifact-\(version)"), 'passed')
                    """)
            }
        }
    }

    @discardableResult
    func promote(_ version: Int, id: EventID = .random(), by person: String? = nil) async throws -> Handled {
        let champion = try await route()?.champion
        return try await handle(
            ModelPromoted(model: Self.model, version: version, champion: champion, requestedBy: person),
            by: StartRollout(), id: id, in: database)
    }

    /// Promotes version 1, to be the champion, and 2, to be its canary; returns the rollout of 2.
    func withCanary() async throws -> Int {
        try await promote(1)
        try await promote(2)
        return try await #require(Overview.rollouts(in: database).last).id
    }

    func route() async throws -> Route? {
        try await database.transaction { try await Routes.current(of: "churn", in: $0) }
    }

    func rollout(_ id: Int) async throws -> Rollout {
        try await #require(database.transaction { try await Rollouts.find(id, in: $0) })
    }

    func versionStates() async throws -> [String] {
        try await database.query("select state from naura.model_version order by version limit 100").map {
            try $0.get("state")
        }
    }

    /// A window of the current route: `canary` and `champion` units, those in `bad` with an error.
    @discardableResult
    func window(
        of rollout: Int, canary: Range<Int> = 0..<0, champion: Range<Int> = 0..<0, badCanary: [Int] = [],
        badChampion: [Int] = [], slowCanary: [Int] = [], epoch: Int64? = nil, weight: Double? = nil
    ) async throws -> Handled {
        let now = try await self.rollout(rollout)
        func hex(_ unit: Int) -> String {
            let digits = String(unit, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        func bad(_ units: [Int], _ metric: ServingWindow.Metric) -> [ServingWindow.FirstBad] {
            units.map { ServingWindow.FirstBad(metric: metric, unit: hex($0), at: Date()) }
        }
        let arms = [
            ServingWindow.ArmWindow(
                arm: .canary, requests: canary.count, newUnits: canary.map(hex),
                firstBad: bad(badCanary, .error) + bad(slowCanary, .slow)),
            ServingWindow.ArmWindow(
                arm: .champion, requests: champion.count, newUnits: champion.map(hex),
                firstBad: bad(badChampion, .error)),
        ]
        return try await handle(
            ServingWindow(
                model: Self.model, gateway: "g", boot: "b", number: 1, epoch: epoch ?? now.epoch,
                weight: weight ?? now.weight, rollout: Int64(rollout), canaryVersion: now.version, arms: arms,
                at: Date()), by: WeighEvidence(), in: database)
    }

    /// Empties all tables that a rollout touches.
    func clear() async throws {
        try await database.update(
            """
            truncate naura.rollout, naura.route, naura.model_alias, naura.model_version, naura.registered_model,
                naura.model, ledger.job cascade
            """)
    }

    /// One look of the look job, as when it is due.
    func look() async throws {
        try await database.update(
            "update ledger.job set due_at = now() where kind = 'rollout-look' and state = 'waiting'")
        try await runJobs(of: LookAtRollout(), in: database, most: 1)
    }

    /// Makes the rollout's last window `seconds` old, while somebody looks all the time.
    func silence(_ rollout: Int, seconds: Double) async throws {
        try await database.update(
            """
            update naura.rollout set telemetry_at = now() - make_interval(secs => \(seconds)), looked_at = now()
            where id = \(rollout)
            """)
    }
}

@Suite("Rollouts", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct RolloutTests {
    @Test("the first version answers everyone at once, and a second delivery changes nothing")
    func first() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = EventID.random()
            let handled = try await stand.promote(1, id: id)
            let changed = try #require(try handled.payloads(RolloutChanged.self).first)
            #expect(changed.state == .completed && changed.weight == 1 && changed.verdict == "no-predecessor")
            #expect(handled.events.first?.envelope.causeID == id)
            #expect(try await stand.route()?.champion == 1)
            #expect(try await stand.versionStates().first == "champion")
            let champion = try await database.transaction { try await ModelVersions.champion(of: "churn", in: $0) }
            #expect(champion?.version == 1)
            #expect(try await stand.promote(1, id: id).isNew == false)
            #expect(try await Overview.rollouts(in: database).count == 1)
        }
    }

    @Test("a version that nobody registered is refused for good")
    func unknown() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            await #expect(throws: Rejection.self) { try await stand.promote(9) }
            #expect(try await stand.route() == nil)
        }
    }

    @Test("without a canary in the project file the second version follows at once")
    func immediate() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database, policy: RolloutPolicy(steps: [1]))
            try await stand.promote(1)
            try await stand.promote(2)
            #expect(try await stand.route()?.champion == 2)
            #expect(try await stand.versionStates()[..<2] == ["retired", "champion"])
        }
    }

    @Test("a healthy canary goes 5, 25, 50, 100 %, and only then the champion moves")
    func healthy() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            for weight in [0.05, 0.25, 0.5] {
                let route = try await stand.route()
                #expect(route?.champion == 1 && route?.canary == 2 && route?.weight == weight)
                #expect(try await stand.versionStates()[..<2] == ["champion", "candidate"])
                // Thirty units are too few to know anything.
                try await stand.window(of: id, canary: 0..<30, champion: 1_000..<1_100)
                #expect(try await stand.rollout(id).verdict == "units")
                try await stand.window(of: id, canary: 30..<400, champion: 1_100..<3_000)
            }
            let route = try await stand.route()
            #expect(route?.champion == 2 && route?.canary == nil && route?.weight == 0)
            #expect(try await stand.versionStates()[..<2] == ["retired", "champion"])
            let changes = try await said(RolloutChanged.self, in: database).filter { $0.version == 2 }
            #expect(changes.map(\.state) == [.started, .advanced, .advanced, .completed])
            #expect(changes.map(\.weight) == [0.05, 0.25, 0.5, 1])
            #expect(
                try await Overview.decisions(of: [id], in: database).map(\.verdict) == changes.map(\.state.rawValue))
            // A window that comes after the end says nothing.
            #expect(try await stand.window(of: id, badCanary: [1, 2, 3, 4, 5], epoch: 4, weight: 0.5).events.isEmpty)
        }
    }

    @Test("a harmful canary is taken back in the transaction of the third bad unit, and its digest is barred")
    func harmful() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            try await stand.window(of: id, canary: 0..<5, champion: 100..<200, badCanary: [1, 2])
            #expect(try await stand.rollout(id).state == .running)
            let handled = try await stand.window(of: id, canary: 5..<8, badCanary: [6])
            let changed = try #require(try handled.payloads(RolloutChanged.self).first)
            #expect(changed.state == .rolledBack && changed.weight == 0 && changed.verdict == "harm")
            let route = try await stand.route()
            #expect(route?.champion == 1 && route?.canary == nil && route?.epoch == 3)
            #expect(try await stand.versionStates()[..<2] == ["champion", "rolled-back"])
            let refused = try await stand.promote(2, by: "ada")
            let rejected = try #require(try refused.payloads(ModelRejected.self).first)
            #expect(rejected.reason?.contains("barred") == true)
            #expect(try await Overview.rollouts(in: database).count == 2)
        }
    }

    @Test("a unit counts once, however many gateways tell of it, and once for harm over all steps")
    func units() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database, policy: RolloutPolicy(bakeSeconds: [0], minUnits: 50))
            let id = try await stand.withCanary()
            for _ in 0..<3 {
                try await stand.window(of: id, canary: 0..<10, champion: 100..<150, badCanary: [1], badChampion: [100])
            }
            let evidence = try await database.transaction {
                try await RolloutEvidence.current(of: id, step: 0, in: $0)
            }
            let error = try #require(evidence[.error])
            #expect(error.canaryUnits == 10 && error.canaryBad == 1)
            #expect(error.baselineUnits == 50 && error.baselineBad == 1)
            var harm = HarmEvidence()
            harm.add(isCanary: true, weight: 0.05)
            harm.add(isCanary: false, weight: 0.05)
            #expect(abs(error.harm.logValue - harm.logValue) < 1e-12)
            // The next step counts the unit among its own, but not once more for harm.
            try await database.update("update naura.rollout set step = 1, weight = 0.25, epoch = 3 where id = \(id)")
            try await database.transaction {
                try await RolloutEvidence.save([.error: CanaryEvidence(harm: harm)], of: id, step: 1, in: $0)
            }
            try await stand.window(of: id, canary: 0..<10, badCanary: [1])
            let next = try await database.transaction {
                try await RolloutEvidence.current(of: id, step: 1, in: $0)
            }
            #expect(next[.error]?.canaryBad == 1)
            #expect(abs((next[.error]?.harm.logValue ?? 0) - harm.logValue) < 1e-12)
        }
    }

    @Test("a gateway that still routes by the step before counts for harm by its own weight; anything older does not")
    func lateWindows() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            try await stand.window(of: id, canary: 0..<400, champion: 1_000..<3_000)
            let rollout = try await stand.rollout(id)
            #expect(rollout.step == 1 && rollout.epoch == 3)
            try await stand.window(of: id, canary: 500..<510, badCanary: [500], epoch: 2, weight: 0.05)
            // Older, unknown, or by a weight that the rollout never had at that epoch.
            try await stand.window(of: id, canary: 0..<9, badCanary: [7], epoch: 1, weight: 0.05)
            try await stand.window(of: id, canary: 0..<9, badCanary: [8], epoch: 2, weight: 0.25)
            try await stand.window(of: id, canary: 0..<9, badCanary: [9], epoch: 4, weight: 0.5)
            let evidence = try await database.transaction {
                try await RolloutEvidence.current(of: id, step: 1, in: $0)
            }
            let error = try #require(evidence[.error])
            var harm = HarmEvidence()
            harm.add(isCanary: true, weight: 0.05)
            #expect(abs(error.harm.logValue - harm.logValue) < 1e-12)
            #expect(error.canaryUnits == 0 && error.canaryBad == 0)
        }
    }

    @Test("slow answers count only once the canary is warm")
    func warmUp() async throws {
        try await TestDatabase.with { database in
            let policy = RolloutPolicy(warmUpUnits: 100, warmUpSeconds: 3_600)
            let stand = try await Stand(database, policy: policy)
            let id = try await stand.withCanary()
            try await stand.window(of: id, canary: 0..<100, slowCanary: [1, 2, 3, 4, 5])
            #expect(try await stand.rollout(id).state == .running)
            try await stand.window(of: id, canary: 100..<110, slowCanary: [101, 102, 103])
            #expect(try await stand.rollout(id).state == .rolledBack)
        }
    }
}

@Suite("Rollouts nobody speaks of", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct RolloutLookTests {
    @Test("silence holds a rollout, a word lets it go on, and a quarter of an hour takes it back without barring")
    func silence() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            try await stand.look()
            #expect(try await stand.rollout(id).state == .running)
            try await stand.silence(id, seconds: 31)
            try await stand.look()
            #expect(try await stand.rollout(id).state == .held)
            #expect(try await stand.route()?.weight == 0.05)
            try await stand.window(of: id, canary: 0..<5)
            #expect(try await stand.rollout(id).state == .running)
            try await stand.silence(id, seconds: 901)
            try await stand.look()
            let rollout = try await stand.rollout(id)
            #expect(rollout.state == .rolledBack && rollout.verdict == "telemetry-lost")
            let changes = try await said(RolloutChanged.self, in: database).filter { $0.version == 2 }
            #expect(changes.map(\.state) == [.started, .held, .resumed, .rolledBack])
            #expect(try await stand.route()?.canary == nil)
            // Not barred: it may come again. Its look job ends with it, and so do its units.
            try await stand.look()
            #expect(try await database.query("select 1 as one from naura.rollout_unit limit 1").isEmpty)
            #expect(try await database.query("select 1 as one from ledger.job where state <> 'done' limit 1").isEmpty)
            try await stand.promote(2)
            #expect(try await stand.route()?.canary == 2)
        }
    }

    @Test("after a time without a worker its unread windows are not taken for silence")
    func away() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            try await database.update(
                """
                update naura.rollout set telemetry_at = now() - interval '1 hour', looked_at = now() - interval '1 hour'
                where id = \(id)
                """)
            try await stand.look()
            let rollout = try await stand.rollout(id)
            #expect(rollout.state == .running && rollout.secondsSinceTelemetry < 10)
        }
    }

    @Test("doubt holds at the end of the step's time, and a day's hold is taken back without barring")
    func doubt() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            try await database.update(
                "update naura.rollout set step_started_at = now() - interval '25 hours' where id = \(id)")
            try await stand.look()
            #expect(try await stand.rollout(id).state == .held)
            try await database.update("update naura.rollout set held_at = now() - interval '25 hours' where id = \(id)")
            try await stand.look()
            let rollout = try await stand.rollout(id)
            #expect(rollout.state == .rolledBack && rollout.verdict == "held-too-long")
            #expect(try await database.query("select 1 as one from naura.barred_digest limit 1").isEmpty)
        }
    }

    @Test("a canary that a gateway cannot serve is taken back and barred; a gateway with an older route says nothing")
    func fuse() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            let report = { (epoch: Int64) in
                GatewayReport(
                    model: "churn", epoch: epoch, champion: 1, canary: nil, fault: "samples answered otherwise")
            }
            try await database.transaction { try await Gateways.report("g", serves: [report(1)], in: $0) }
            try await stand.look()
            #expect(try await stand.rollout(id).state == .running)
            try await database.transaction { try await Gateways.report("g", serves: [report(2)], in: $0) }
            try await stand.look()
            let rollout = try await stand.rollout(id)
            #expect(rollout.state == .rolledBack && rollout.verdict == "fault")
            let reason = try await database.transaction {
                try await ModelVersions.barred("digest-2", of: "churn", in: $0)
            }
            #expect(reason?.contains("samples answered otherwise") == true)
        }
    }

    @Test("the newest passed version waits for a running rollout, and begins when that has ended")
    func waiting() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            try await stand.promote(3)
            try await stand.promote(4)
            var states = try await Overview.rollouts(in: database).map(\.state)
            #expect(states == ["completed", "running", "superseded", "waiting"])
            try await stand.window(of: id, canary: 0..<5, badCanary: [1, 2, 3])
            states = try await Overview.rollouts(in: database).map(\.state)
            #expect(states == ["completed", "rolled-back", "superseded", "running"])
            let route = try await stand.route()
            #expect(route?.champion == 1 && route?.canary == 4)
            #expect(try await stand.versionStates() == ["champion", "rolled-back", "passed", "candidate"])
        }
    }

    @Test("a version that waited while the champion changed is gated again, one promoted by hand is not")
    func gatedAgain() async throws {
        try await TestDatabase.with { database in
            for person in [nil, "ada"] {
                let stand = try await Stand(database, versions: 4)
                let id = try await stand.withCanary()
                try await stand.promote(3, by: person)
                for _ in 0..<3 { try await stand.window(of: id, canary: 0..<400, champion: 1_000..<3_000) }
                #expect(try await stand.route()?.champion == 2)
                let last = try #require(try await Overview.rollouts(in: database).last)
                let jobs = try await database.query(
                    "select arguments->>'version' as version from ledger.job where kind = 'evaluate' limit 10")
                if person == nil {
                    #expect(last.state == "superseded" && last.verdict == "gated-again")
                    #expect(try jobs.map { try $0.get("version", as: String.self) } == ["3"])
                } else {
                    #expect(last.state == "running" && last.baseline == 2)
                    #expect(jobs.isEmpty)
                }
                try await stand.clear()
            }
        }
    }

    @Test("a held rollout gives way to a version that passes")
    func heldGivesWay() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            let id = try await stand.withCanary()
            try await stand.silence(id, seconds: 31)
            try await stand.look()
            try await stand.promote(3)
            #expect(try await Overview.rollouts(in: database).map(\.state) == ["completed", "superseded", "running"])
            #expect(try await stand.route()?.canary == 3)
        }
    }

    @Test("what failed and was rolled back is done whole at the next try")
    func failsThenSucceeds() async throws {
        try await TestDatabase.with { database in
            let stand = try await Stand(database)
            try await stand.promote(1)
            try await database.update("update naura.model set definition = '{}'")
            await #expect(throws: PostgresError.self) { try await stand.promote(2) }
            #expect(try await Overview.rollouts(in: database).count == 1)
            try await database.update("update naura.model set is_retired = true")
            try await stand.promote(2)
            #expect(try await stand.route()?.canary == 2)
        }
    }
}
