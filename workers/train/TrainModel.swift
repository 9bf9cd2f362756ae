import Foundation
import NauraData
import NauraEvents
import NauraLedger
import NauraModels
import NauraRules
import NauraStage
import NauraStore

/// Freezes what is pending for a model, and trains from it: the same bytes, run and version however often it is killed.
struct TrainModel: JobRunner {
    struct Arguments: Codable, Sendable {
        let model: String
    }

    static let kind: JobKind = "train"
    /// Nothing that Naura trains by itself takes a day; what hangs must give its model's place to the next training.
    static let policy = JobPolicy(timeout: .seconds(24 * 3_600))
    let history: FeatureHistory
    let artifacts: ArtifactStore
    let host: String

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        switch try await freeze(job, under: lease) {
        case .nothing(let reason):
            lease.report(reason)
            try await lease.settle { _ in }
        case .wait(let seconds):
            try await lease.postpone(.seconds(seconds))
        case .request(let request):
            do {
                try await train(request, under: lease)
            } catch let fault as ModelFault where fault.code != .unreadable {
                try await fail(request, fault.message, under: lease)
            }
        }
    }

    /// The triggers end with the training that was to answer them, also those that no attempt had come to freeze: left
    /// pending they would wait for a job that is there, and has failed.
    func abandon(_ job: Job<Arguments>, because failure: JobFailure, in work: borrowing Work) async throws {
        let model = job.arguments.model
        var request = try await TrainingRequests.find(job: job.id, in: work.transaction)
        if request == nil {
            try await TrainingRequests.lock(model, in: work.transaction)
            guard try await Triggers.pending(of: model, in: work.transaction) != nil else { return }
            request = try await TrainingRequests.freeze(model, job: job.id, in: work.transaction)
        }
        guard let request, request.state == .frozen else { return }
        try await TrainingRequests.end(request.id, as: .failed, reason: failure.message, in: work.transaction)
        try await Runs.fail(Self.runID(request), in: work.transaction)
    }

    // MARK: Freezing

    private enum Frozen {
        case nothing(reason: String)
        case wait(seconds: Double)
        case request(FrozenRequest)
    }

    /// Takes all pending triggers, or finds what an earlier attempt took.
    private func freeze(_ job: Job<Arguments>, under lease: Lease) async throws -> Frozen {
        let model = job.arguments.model
        return try await lease.transaction { work in
            if let request = try await TrainingRequests.find(job: job.id, in: work.transaction) {
                try await TrainingRequests.reopen(request.id, in: work.transaction)
                return .request(request)
            }
            try await TrainingRequests.lock(model, in: work.transaction)
            guard let pending = try await Triggers.pending(of: model, in: work.transaction) else {
                return .nothing(reason: "no trigger is pending")
            }
            // A training that ended after the job was filed may have set a later moment.
            let seconds = pending.secondsUntilDue
            guard seconds <= 0 else { return .wait(seconds: seconds) }
            let request = try await TrainingRequests.freeze(model, job: job.id, in: work.transaction)
            guard try await DefinedModels.exists(model, in: work.transaction) else {
                // The triggers are taken all the same: a model that is defined again begins with new ones.
                let reason = "the model \(model) is no longer defined"
                try await TrainingRequests.end(request.id, as: .failed, reason: reason, in: work.transaction)
                return .nothing(reason: reason)
            }
            return .request(request)
        }
    }

    // MARK: Training

    private func train(_ request: FrozenRequest, under lease: Lease) async throws {
        lease.report("building the training set")
        let set = try await buildSet(request)
        let run = runRecord(request, set)
        let equal = try await lease.transaction { work in
            let equal = try await Runs.equal(to: run, in: work.transaction)
            if equal == nil { try await Runs.begin(run, in: work.transaction) }
            return equal
        }
        if let equal { return try await endUnchanged(request, set, equal, under: lease) }
        let (trained, unwritten) = try await train(request, set, run, under: lease)
        lease.report("storing the package")
        let files = Dictionary(uniqueKeysWithValues: trained.package.files.map { ($0.path, $0.bytes) })
        let artifact = try artifacts.putPackage(files).sha256
        try await lease.settle { work in
            try await Runs.measure(run.id, unwritten + Self.finalMetrics(of: trained, request), in: work.transaction)
            try await record(trained, artifact, request, set, run, in: work)
        }
    }

    /// The values that no round has told: those of the holdout, and of the training rows where rounds were not measured.
    private static func finalMetrics(of trained: TrainedModel, _ request: FrozenRequest) -> [MetricPoint] {
        let isMeasured =
            switch request.model.trainer {
            case .xgboost(let parameters): parameters.validationShare > 0
            }
        return trained.metrics.sorted { $0.key < $1.key }
            .filter { !isMeasured || !["train_auc", "train_logloss"].contains($0.key) }
            .map { MetricPoint(key: $0.key, step: trained.rounds, value: $0.value) }
    }

    private func record(
        _ trained: TrainedModel, _ artifact: String, _ request: FrozenRequest, _ set: BuiltSet, _ run: RunRecord,
        in work: borrowing Work
    ) async throws {
        let digest = trained.package.digest
        try await TrainingSets.record(set.record, in: work.transaction)
        try await Runs.finish(run.id, digest: digest, artifact: artifact, in: work.transaction)
        let version = try await ModelVersions.register(
            model: run.model, run: run.id, digest: digest, artifact: artifact, trainingSet: set.record.sha256,
            in: work.transaction)
        try await TrainingRequests.end(
            request.id, as: .trained, trainingSet: set.record.sha256, run: run.id, in: work.transaction)
        try await work.emit(
            ModelTrained(
                model: ModelID(rawValue: run.model), version: version, run: RunID(rawValue: run.id),
                trainingSet: set.record.sha256, digest: digest, artifact: artifact, metrics: trained.metrics,
                causes: request.causes.prefix(Self.causesMax).map(EventID.init(rawValue:)),
                codeCommit: request.codeCommit, backfill: request.isBackfill ? true : nil))
    }

    /// A record in Kafka holds a million bytes; a cause takes 35. The run's row names all of them.
    private static let causesMax = 20_000

    private func endUnchanged(
        _ request: FrozenRequest, _ set: BuiltSet, _ equal: EqualRun, under lease: Lease
    ) async throws {
        let standing = equal.versionState == "champion" ? "the champion" : "on its way (\(equal.versionState))"
        let reason =
            "training set, parameters, library and code are those of run \(equal.run), whose version \(equal.version) is "
            + "\(standing); another model needs new labelled rows, other parameters or other code"
        lease.report("unchanged")
        try await lease.settle { work in
            try await TrainingSets.record(set.record, in: work.transaction)
            try await TrainingRequests.end(
                request.id, as: .unchanged, reason: reason, trainingSet: set.record.sha256, in: work.transaction)
        }
    }

    private func fail(_ request: FrozenRequest, _ reason: String, under lease: Lease) async throws {
        let run = Self.runID(request)
        try await lease.transaction { work in
            try await TrainingRequests.end(request.id, as: .failed, reason: reason, in: work.transaction)
            try await Runs.fail(run, in: work.transaction)
        }
        throw Rejection("\(request.model.name) cannot be trained: \(reason)", code: "untrainable")
    }

    // MARK: Run

    private func runRecord(_ request: FrozenRequest, _ set: BuiltSet) -> RunRecord {
        let positive = (name: "positive", value: set.record.positive)
        return RunRecord(
            id: Self.runID(request), model: request.model.name, request: request.id,
            trainingSet: set.record.sha256, seed: request.model.trainer.seed, codeCommit: request.codeCommit,
            projectVersion: request.projectVersion,
            environment: ["xgboost": Booster.libraryVersion, "threads": "1", "host": host],
            parameters: request.model.trainer.parameters + [positive], causes: request.causes)
    }

    private static func runID(_ request: FrozenRequest) -> String {
        EventID.derived(
            stage: "train", type: ModelTrained.type, subject: request.model.name, about: "request \(request.id)"
        ).rawValue
    }

    /// Trains on a thread of its own, and writes what the rounds show as they come.
    /// - Returns: the model, and what could not be written.
    private func train(
        _ request: FrozenRequest, _ set: BuiltSet, _ run: RunRecord, under lease: Lease
    ) async throws -> (TrainedModel, [MetricPoint]) {
        let order: TrainingOrder
        switch request.model.trainer {
        case .xgboost(let parameters):
            order = TrainingOrder(
                rowsPath: try artifacts.open(set.record.sha256), inputs: set.inputs, positive: set.record.positive,
                salt: request.model.name, parameters: parameters)
        }
        let (stream, continuation) = AsyncStream.makeStream(of: ModelTraining.Progress.self)
        async let unwritten = Self.write(stream, of: run.id, under: lease)
        do {
            let trained = try await ModelTraining.train(order) { continuation.yield($0) }
            continuation.finish()
            return (trained, try await unwritten)
        } catch {
            continuation.finish()
            throw error
        }
    }

    /// Writes metrics in short transactions, at most some five a second.
    ///
    /// A database that is away costs the curve's freshness, never the training: what could not be written is kept.
    private static func write(
        _ rounds: AsyncStream<ModelTraining.Progress>, of run: String, under lease: Lease
    ) async throws -> [MetricPoint] {
        var points: [MetricPoint] = []
        var tried = ContinuousClock.now
        for await round in rounds {
            points += round.metrics.map { MetricPoint(key: $0.name, step: round.round, value: $0.value) }
            let phase = round.isValidating ? "validating" : "training"
            lease.report("\(phase): round \(round.round) of \(round.rounds)")
            guard ContinuousClock.now - tried > .milliseconds(200) else { continue }
            tried = .now
            do {
                let taken = points
                try await lease.transaction { try await Runs.measure(run, taken, in: $0.transaction) }
                points.removeAll()
            } catch {
                // A lost lease cancels this task; anything else is tried again with the next round, or at the end.
                try Task.checkCancellation()
            }
        }
        return points
    }
}
