// Makes the rows of each snapshot that was let in into feature rows, offline and online, and into labels.

import NauraData
import NauraEvents
import NauraLedger
import NauraStage
import NauraStore

@main enum FeaturizeWorker {
    static func main() async {
        await Worker.run("featurize") { context in
            let artifacts = try ArtifactStore(directory: context.configuration.artifacts)
            return WorkerParts()
                .stage(OrderFeatures())
                .runner(FeaturizeSnapshot(artifacts: artifacts))
                .retelling(RetoldReady())
                .retelling(RetoldUnready())
        }
    }
}

/// Files the work on each snapshot that was let in.
struct OrderFeatures: Stage {
    static let name: StageName = "featurize"

    func handle(_ event: Event<DataValidated>, in work: borrowing Work) async throws {
        let validated = event.payload
        let dataset = validated.dataset.rawValue
        try await work.file(
            FeaturizeSnapshot.kind, key: dataset, about: "\(dataset)/\(validated.number)",
            arguments: FeaturizeOrder(dataset: dataset, number: validated.number, isBackfill: validated.backfill),
            priority: validated.backfill == true ? .backfill : .retrain,
            team: try await Datasets.project(of: dataset, in: work.transaction))
    }
}
