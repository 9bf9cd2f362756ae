import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

/// A training that ended with a version: its triggers are taken, its run and its version are on record.
///
/// What it read, its curves, its library and its machine are in no event. Neither are trainings that ended without a
/// version.
struct RetoldTraining: Retelling {
    static let origins: [StageName] = ["train"]

    func apply(_ event: Event<ModelTrained>, in work: borrowing Work) async throws -> Retold {
        let trained = event.payload
        let (model, transaction) = (trained.model.rawValue, work.transaction)
        try await TrainingRequests.lock(model, in: transaction)
        guard try await DefinedModels.exists(model, in: transaction) else {
            return .later("no model is called \(model)")
        }
        let causes = trained.causes.map(\.rawValue)
        let pending = try await Triggers.pendingCount(of: model, among: causes, in: transaction)
        guard pending == causes.count else {
            return .later("\(causes.count - pending) of its \(causes.count) triggers have not come")
        }
        let request = try await TrainingRequests.freeze(
            model, job: try await Jobs.reserveID(in: transaction), only: causes, in: transaction)
        let run = RunRecord(
            id: trained.run.rawValue, model: model, request: request.id, trainingSet: trained.trainingSet,
            seed: request.model.trainer.seed, codeCommit: trained.codeCommit, projectVersion: request.projectVersion,
            environment: [:], parameters: request.model.trainer.parameters, causes: causes)
        try await Runs.begin(run, in: transaction)
        try await Runs.finish(run.id, digest: trained.digest, artifact: trained.artifact, in: transaction)
        let version = try await ModelVersions.register(
            model: model, run: run.id, digest: trained.digest, artifact: trained.artifact,
            trainingSet: trained.trainingSet, in: transaction)
        guard version == trained.version else {
            throw Rejection(
                "the next version of \(model) is \(version) here, and was \(trained.version): versions between them "
                    + "came by hand, which no event tells", code: "other-version")
        }
        try await TrainingRequests.end(
            request.id, as: .trained, trainingSet: trained.trainingSet, run: run.id, in: transaction)
        return .told
    }
}
