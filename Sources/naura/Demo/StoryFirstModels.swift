import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NauraEvents
import NauraLedger
import NauraStore

// Steps 1 to 4: the first model, a better one, and a file that is refused.

extension Story {
    /// Step 1.
    mutating func apply(_ step: inout StoryReport.Step) async throws {
        let project = try example.project(hookPort: hookPort)
        let applied = try await ProjectApplication.apply(project, in: database)
        tell("apply", ProjectApplication.text(project, applied))
        firstData = try await publish(file: "january.csv", in: &step)
        try require(
            try await EventLog.event(firstData, in: database) != nil, "the outbox does not hold event \(firstData)")
    }

    /// Step 2.
    mutating func firstModel(_ step: inout StoryReport.Step) async throws {
        let branch = try await followToPromotion(firstData, within: .seconds(60), in: &step)
        try require(branch.rollout?.baseline == nil, "the first version has a predecessor")
        let version = branch.training?.version
        let answer = try await askGateway()
        tell("serve", "answers \(answer.text)")
        try require(answer.version == version, "the gateway answers with version \(answer.version ?? 0)")
    }

    /// Step 3.
    mutating func canary(_ step: inout StoryReport.Step) async throws {
        try await startTraffic(["january.csv", "february.csv"])
        let first = try await champion()
        let id = try await publish(file: "february.csv", in: &step)
        let branch = try await followToPromotion(id, within: .seconds(100), in: &step)
        guard let rollout = branch.rollout, let verdict = branch.verdict else {
            throw CommandError(.notSeen, "the promotion has no verdict or rollout")
        }
        try require(
            verdict.champion != nil && verdict.candidate != nil && rollout.baseline == first,
            "the candidate was not compared with the champion")
        let weights = try await weights(of: rollout.id)
        try require(
            weights.isSuperset(of: [0.05, 0.25, 0.5, 1]), "the rollout went through \(weights.sorted()) only")
        try noteTraffic(canary: rollout.version)
        try await require(try champion() == rollout.version, "version \(rollout.version) is not the champion")
    }

    /// Step 4.
    mutating func brokenFile(_ step: inout StoryReport.Step) async throws {
        let runs = try await Overview.runs(in: database).count
        let id = try await publish(file: "march-broken.csv", in: &step)
        let (outcome, watcher) = try await follow(id, within: .seconds(30), in: &step)
        guard case .rejected = outcome, let rejection = watcher.events.first(where: { $0.row.type == "data-rejected" })
        else { throw CommandError(.notSeen, "expected a rejection, found \(outcome)") }
        try await wait(.seconds(15), for: "a message to the team") {
            !sink.messages(about: rejection.row.id).isEmpty
        }
        tell("notify", "the team's webhook got: \(sink.messages(about: rejection.row.id)[0].subject)")
        // A second message or a training would come within a moment, if at all.
        _ = await Watch.pause(.seconds(1))
        let told = sink.messages(about: rejection.row.id).count
        try require(told == 1, "the team was told \(told) times")
        try require(watcher.branches.isEmpty, "the file has pulled a trigger")
        try await require(try Overview.runs(in: database).count == runs, "something was trained")
    }

    // MARK: - Traffic and gateway

    /// Starts the traffic of the visitors in `files`, and waits until the gateway keeps up.
    func startTraffic(_ files: [String]) async throws {
        traffic.use(rows: try await rows(files))
        traffic.use(rate: Story.rate)
        let before = traffic.meter.whole.answered
        try await wait(.seconds(15), for: "answers of the gateway") {
            traffic.meter.whole.answered >= before + Int(Story.rate / 2)
        }
        tell("traffic", "\(Int(Story.rate)) visits a second")
    }

    /// Tells what the gateway answered, and throws when it failed visitors or the canary answered nobody.
    func noteTraffic(canary version: Int) throws {
        let reading = traffic.meter.whole
        let share = reading.byArm.sorted { $0.key < $1.key }
            .map { "\($0.key) \(EventSummary.counted($0.value, "visit"))" }
        tell("traffic", share.joined(separator: ", "))
        tell("traffic", TrafficCommand.line(reading, seconds: nil))
        try require(reading.failed == 0, "\(reading.failed) visits failed: \(reading.lastFailure ?? "")")
        try require(reading.byArm["canary/\(version)"] ?? 0 > 0, "the canary answered nobody")
    }

    /// The weights that a rollout went through, by its events.
    func weights(of rollout: Int) async throws -> Set<Double> {
        let row = try await Overview.rollouts(in: database).first { $0.id == rollout }
        guard let row else { throw CommandError(.notSeen, "there is no rollout \(rollout)") }
        var weights: Set<Double> = []
        for logged in try await EventLog.chain(of: row.rootID, in: database) where logged.row.type == "rollout-changed"
        {
            let payload = try EventCatalogue.payload(of: RolloutChanged.type, body: logged.body)
            if let changed = payload as? RolloutChanged, changed.rollout == Int64(rollout) {
                weights.insert(changed.weight)
            }
        }
        return weights
    }

    /// One prediction, as an application asks for it.
    private func askGateway() async throws -> (text: String, version: Int?) {
        guard let row = try await rows(["february.csv"]).first else {
            throw CommandError(.notSeen, "february.csv has no rows")
        }
        var request = HTTPClientRequest(url: "\(try settings.gateway())/v1/models/\(Story.model):predict")
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(row.body)
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
        try require(response.status == .ok, "the gateway answers \(response.status.code): \(text)")
        return (
            text.trimmingCharacters(in: .whitespacesAndNewlines),
            response.headers.first(name: "x-naura-version").flatMap(Int.init)
        )
    }
}
