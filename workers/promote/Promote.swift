// Holds each trained version against the champion on the same frozen rows, and passes or refuses it.

import NauraData
import NauraEvents
import NauraLedger
import NauraStage
import NauraStore

@main enum PromoteWorker {
    static func main() async {
        await Worker.run("promote") { context in
            let artifacts = try ArtifactStore(directory: context.configuration.artifacts)
            return WorkerParts()
                .stage(GateTrained())
                .runner(EvaluateCandidate(history: FeatureHistory(context.database), artifacts: artifacts))
                .retelling(RetoldPromotion())
                .retelling(RetoldRejection())
        }
    }
}

/// Files the evaluation of a version that was just trained.
struct GateTrained: Stage {
    static let name: StageName = "promote"

    func handle(_ event: Event<ModelTrained>, in work: borrowing Work) async throws {
        let trained = event.payload
        try await work.file(
            EvaluateCandidate.kind, key: trained.model.rawValue, about: "\(trained.model)/\(trained.version)",
            arguments: EvaluateCandidate.Arguments(
                model: trained.model.rawValue, version: trained.version, isBackfill: trained.backfill),
            priority: trained.backfill == true ? .backfill : .retrain,
            team: try await DefinedModels.project(of: trained.model.rawValue, in: work.transaction))
    }
}
