// Fetches arriving data, names it by content, profiles it, and holds it against its contract.

import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

@main enum ValidateWorker {
    static func main() async {
        await Worker.run("validate") { context in
            let artifacts = try ArtifactStore(directory: context.configuration.artifacts)
            try artifacts.sweep(now: Date())
            return WorkerParts()
                .stage(NumberSnapshot())
                .runner(ValidateSnapshot(artifacts: artifacts))
                .retelling(RetoldValidated())
                .retelling(RetoldRejected())
        }
    }
}

/// Numbers each arriving file within its dataset and files its validation.
struct NumberSnapshot: Stage {
    static let name: StageName = "validate"

    func handle(_ event: Event<NewData>, in work: borrowing Work) async throws {
        let data = event.payload
        let arrival = SnapshotArrival(
            dataset: data.dataset.rawValue, uri: data.uri, format: data.format.rawValue,
            expectedSHA256: data.sha256, window: data.window.map { ($0.from, $0.to) }, eventID: event.id.rawValue,
            rootID: event.rootID.rawValue, time: event.time, isBackfill: data.backfill == true)
        guard let number = try await Snapshots.file(arrival, in: work.transaction) else {
            let reason = "no dataset is called '\(data.dataset)'; `naura apply` defines datasets"
            try await work.emit(
                DataRejected(
                    dataset: data.dataset, uri: data.uri,
                    violations: [.init(rule: "unknown-dataset", count: 1, message: reason)], reason: reason))
            return
        }
        let project = try await Datasets.project(of: data.dataset.rawValue, in: work.transaction)
        try await work.file(
            ValidateSnapshot.kind, key: data.dataset.rawValue, about: "\(data.dataset)/\(number)",
            arguments: ValidateSnapshot.Arguments(dataset: data.dataset.rawValue, number: number),
            priority: data.backfill == true ? .backfill : .retrain, team: project)
    }
}
