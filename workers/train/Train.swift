// Folds reasons to train into at most one running training a model, and trains.

import Foundation
import NauraData
import NauraEvents
import NauraModels
import NauraRules
import NauraStage
import NauraStore

@main enum TrainWorker {
    static func main() async {
        await Worker.run("train") { context in
            let artifacts = try ArtifactStore(directory: context.configuration.artifacts)
            try artifacts.sweep(now: Date())
            return WorkerParts()
                .stage(FoldNewData())
                .stage(FoldMergedCode())
                .stage(FoldDrift())
                .stage(FoldRequests())
                .runner(
                    TrainModel(history: FeatureHistory(context.database), artifacts: artifacts, host: context.instance)
                )
                .retelling(RetoldTraining())
        }
    }
}
