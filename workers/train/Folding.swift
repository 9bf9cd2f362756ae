import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore

// The four reasons to train. Each stage files a trigger row a model, and one waiting job for all triggers of a fold.

/// Moves the read point on, and asks for trainings of the models that read the new rows.
struct FoldNewData: Stage {
    static let name: StageName = "train-new-data"

    func handle(_ event: Event<FeaturesReady>, in work: borrowing Work) async throws {
        let ready = event.payload
        try await ReadPoints.advance(ready.dataset.rawValue, to: ready.number, in: work.transaction)
        try await Triggers.file(
            newDataOf: ready.dataset.rawValue, views: ready.featureViews, isBackfill: ready.backfill == true,
            for: TriggerEvent(event.envelope), in: work.transaction)
        try await fold(event.envelope, in: work)
    }
}

/// Asks for trainings of the models that a merge concerns; a merge that concerns none ends here.
struct FoldMergedCode: Stage {
    static let name: StageName = "train-code-merged"

    func handle(_ event: Event<CodeMerged>, in work: borrowing Work) async throws {
        let merged = event.payload
        for model in try await DefinedModels.all(in: work.transaction) {
            let isConcerned = model.code?.concerns(
                repository: merged.repository, ref: merged.ref, changed: merged.paths)
            guard isConcerned == true else { continue }
            try await Triggers.file(
                .codeMerged, model: model.name, for: TriggerEvent(event.envelope), codeCommit: merged.commit,
                in: work.transaction)
        }
        try await fold(event.envelope, in: work)
    }
}

/// Asks for a training of the model whose traffic drifts; an alert that ends asks for nothing.
struct FoldDrift: Stage {
    static let name: StageName = "train-drift-alert"

    func handle(_ event: Event<DriftAlert>, in work: borrowing Work) async throws {
        guard event.payload.state == .firing else { return }
        try await Triggers.file(
            .driftAlert, model: event.payload.model.rawValue, for: TriggerEvent(event.envelope),
            reason: event.payload.reason, in: work.transaction)
        try await fold(event.envelope, in: work)
    }
}

/// Asks for a training because the calendar says so, or a person.
struct FoldRequests: Stage {
    static let name: StageName = "train-retrain-due"

    func handle(_ event: Event<RetrainDue>, in work: borrowing Work) async throws {
        let due = event.payload
        guard try await DefinedModels.exists(due.model.rawValue, in: work.transaction) else {
            throw Rejection("no model is called \(due.model); `naura apply` defines models", code: "unknown-model")
        }
        try await Triggers.file(
            .retrainDue, model: due.model.rawValue, for: TriggerEvent(event.envelope), actor: due.requestedBy,
            reason: due.reason, in: work.transaction)
        try await fold(event.envelope, in: work)
    }
}

/// Files the training that will take the triggers of `event`, or postpones it to the end of the quiet period.
private func fold(_ event: Envelope, in work: borrowing Work) async throws {
    for pending in try await Triggers.pending(filedBy: TriggerEvent(event), in: work.transaction) {
        // A person's request does not wait, nor do the triggers that it takes along.
        try await work.file(
            TrainModel.kind, key: pending.model, about: pending.fold,
            arguments: TrainModel.Arguments(model: pending.model), after: .seconds(pending.secondsUntilDue),
            priority: pending.isBackfill ? .backfill : .retrain, team: pending.project,
            policy: pending.isAskedByHand ? .hasten : .postpone)
    }
}

extension TriggerEvent {
    fileprivate init(_ envelope: Envelope) {
        self.init(id: envelope.id.rawValue, rootID: envelope.rootID.rawValue, traceparent: envelope.traceparent)
    }
}
