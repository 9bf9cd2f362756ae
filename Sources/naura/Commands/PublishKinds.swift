import ArgumentParser
import Foundation
import NauraEvents

/// `naura publish new-data`.
struct PublishNewData: PublishCommand {
    static let configuration = CommandConfiguration(
        commandName: "new-data", abstract: "Data has arrived and waits at a place.",
        discussion: """
            Example:
              naura publish new-data --dataset customers --uri ./2026-03.csv
            """)

    @OptionGroup var options: PublishOptions
    @Option(help: "The dataset that the file belongs to.") var dataset: String?
    @Option(help: "Where it is: a path, file:, http: or https: address.") var uri: String?
    @Option(help: "csv or jsonl; by the name's ending where nothing is said.") var format: String?
    @Option(help: "The SHA-256 that the bytes must have.") var sha256: String?
    @Option(name: .customLong("from"), help: "The beginning of the time that the data cover, RFC 3339.")
    var windowFrom: String?
    @Option(name: .customLong("to"), help: "Its end.") var windowTo: String?
    @Flag(help: "Old data: worked on last, and no model of it deploys by itself (see `naura backfill`).")
    var backfill = false

    func payload() throws -> NewData {
        let format = try format.map { text in
            guard let format = NewData.Format(rawValue: text) else {
                throw ValidationError("--format \(text): expected csv, jsonl or parquet")
            }
            return format
        }
        var window: TimeWindow?
        if windowFrom != nil || windowTo != nil {
            window = TimeWindow(
                from: try Moment.parse(try required(windowFrom, "--from"), flag: "--from"),
                to: try Moment.parse(try required(windowTo, "--to"), flag: "--to"))
        }
        return NewData(
            dataset: DatasetID(try required(dataset, "--dataset")), uri: Outgoing.uri(try required(uri, "--uri")),
            format: format, sha256: sha256, window: window, backfill: backfill ? true : nil)
    }
}

/// `naura publish code-merged`.
struct PublishCodeMerged: PublishCommand {
    static let configuration = CommandConfiguration(
        commandName: "code-merged", abstract: "Code was merged into a branch.",
        discussion: """
            Models whose `code` names the repository, ref and one of the paths are trained again; a merge that concerns \
            no model ends as nothing to do.

            Example:
              naura publish code-merged --repository acme/churn --commit 4be1f09 --ref refs/heads/main --path churn/a.py
            """)

    @OptionGroup var options: PublishOptions
    @Option(help: "The repository, OWNER/NAME.") var repository: String?
    @Option(help: "The merge commit.") var commit: String?
    @Option(help: "The ref that it was merged into.") var ref: String = "refs/heads/main"
    @Option(name: .customLong("path"), help: "A changed path; may be given again.") var paths: [String] = []
    @Option(help: "Who merged.") var author: String?
    @Option(help: "When, RFC 3339.") var mergedAt: String?
    @Option(help: "The image built from it.") var image: String?

    func payload() throws -> CodeMerged {
        CodeMerged(
            repository: try required(repository, "--repository"), commit: try required(commit, "--commit"), ref: ref,
            paths: paths, author: author, mergedAt: try mergedAt.map { try Moment.parse($0, flag: "--merged-at") },
            image: image)
    }
}

/// `naura publish ground-truth`.
struct PublishGroundTruth: PublishCommand {
    static let configuration = CommandConfiguration(
        commandName: "ground-truth", abstract: "What turned out to be true for an earlier prediction.",
        discussion: """
            Name the prediction by its id, or by unit and moment. Many at once: --json.

            Example:
              naura publish ground-truth --model churn --prediction 5f0c… --label Yes
            """)

    @OptionGroup var options: PublishOptions
    @Option(help: "The model that predicted.") var model: String?
    @Option(name: .customLong("prediction"), help: "The prediction's id.") var predictionID: String?
    @Option(help: "Instead: the unit that was predicted for.") var unit: String?
    @Option(help: "And the moment of the prediction, RFC 3339.") var at: String?
    @Option(help: "What was true.") var label: String?
    @Option(help: "Since when that is known, RFC 3339; now where nothing is said.") var observedAt: String?

    func payload() throws -> GroundTruth {
        if predictionID == nil { _ = try required(unit, "--prediction, or --unit with --at,") }
        return GroundTruth(
            model: ModelID(try required(model, "--model")),
            items: [
                GroundTruth.Item(
                    predictionID: predictionID, unit: unit, at: try at.map { try Moment.parse($0, flag: "--at") },
                    label: try required(label, "--label"),
                    observedAt: try observedAt.map { try Moment.parse($0, flag: "--observed-at") } ?? Date())
            ])
    }
}

/// `naura publish drift-alert`.
struct PublishDriftAlert: PublishCommand {
    static let configuration = CommandConfiguration(
        commandName: "drift-alert", abstract: "Live traffic has left, or regained, what a version was trained on.",
        discussion: """
            For a monitor of your own; Naura's publishes its alerts itself.

            Example:
              naura publish drift-alert --model churn --version-number 3 --reason "new tariff" \\
                --from 2026-03-01T00:00:00Z --to 2026-03-01T01:00:00Z
            """)

    @OptionGroup var options: PublishOptions
    @Option(help: "The model.") var model: String?
    @Option(name: .customLong("version-number"), help: "The version that answered.") var number: Int?
    @Option(help: "data, prediction, concept, schema or quality.") var kind: String = "data"
    @Option(help: "firing or resolved.") var state: String = "firing"
    @Option(name: .customLong("from"), help: "The beginning of the window, RFC 3339.") var windowFrom: String?
    @Option(name: .customLong("to"), help: "Its end.") var windowTo: String?
    @Option(help: "What people should read.") var reason: String?

    func payload() throws -> DriftAlert {
        guard let kind = DriftAlert.Kind(rawValue: kind) else {
            throw ValidationError("--kind \(kind): expected data, prediction, concept, schema or quality")
        }
        guard let state = DriftAlert.State(rawValue: state) else {
            throw ValidationError("--state \(state): expected firing or resolved")
        }
        return DriftAlert(
            model: ModelID(try required(model, "--model")), version: try required(number, "--version-number"),
            kind: kind,
            window: TimeWindow(
                from: try Moment.parse(try required(windowFrom, "--from"), flag: "--from"),
                to: try Moment.parse(try required(windowTo, "--to"), flag: "--to")),
            columns: [], state: state, reason: reason)
    }
}

/// `naura publish retrain-due`.
struct PublishRetrainDue: PublishCommand {
    static let configuration = CommandConfiguration(
        commandName: "retrain-due", abstract: "A calendar of yours wants a model trained again.",
        discussion: """
            By hand, use `naura retrain`, which puts who and why on record.

            Example:
              naura publish retrain-due --model churn --slot 2026-03-02T03:00:00Z
            """)

    @OptionGroup var options: PublishOptions
    @Option(help: "The model.") var model: String?
    @Option(help: "The calendar's slot, RFC 3339.") var slot: String?
    @Option(help: "Why.") var reason: String?

    func payload() throws -> RetrainDue {
        RetrainDue(
            model: ModelID(try required(model, "--model")),
            slot: try slot.map { try Moment.parse($0, flag: "--slot") }, requestedBy: Outgoing.actor, reason: reason)
    }
}

/// `naura publish predictions`: answers of a gateway of one's own.
struct PublishPredictions: PublishCommand {
    static let configuration = CommandConfiguration(
        commandName: "predictions", abstract: "Answers that a server of yours gave, for the monitor.",
        discussion: """
            Only as JSON: {"model": …, "items": [{"prediction_id", "version", "arm", "features", "score", "at"}]}.

            Example:
              naura publish predictions --json @answers.json
            """)

    @OptionGroup var options: PublishOptions

    func payload() throws -> Predictions {
        throw ValidationError("predictions are published by --json only")
    }
}
