/// The names that a follower of chains must know of other workers' stages and jobs.
enum ChainJobs {
    /// The stages of `train` that turn an event into triggers; an event that one of them has handled without leaving a
    /// trigger concerns no model.
    static let triggerStages: Set<String> = [
        "train-new-data", "train-code-merged", "train-drift-alert", "train-retrain-due",
    ]

    /// Whether a failed job of `kind` ends the chain: telling people is no part of it.
    static func carriesTheChain(_ kind: String) -> Bool { kind != "send" }

    /// Jobs whose end the chain waits for, also where an earlier try has ended it: a redriven job may still turn it.
    static let awaited: Set<String> = ["validate", "featurize", "train", "evaluate"]
}
