import NauraStage

/// Shifts traffic to promoted versions on evidence, and takes it back on evidence.
///
/// Configuration: that of every worker, see `WorkerConfiguration`. What a rollout may do stands in the project file.
@main enum RolloutWorker {
    static func main() async {
        await Worker.run("rollout") { _ in
            WorkerParts()
                .stage(StartRollout(), replayedBy: FilePromoted())
                .stage(WeighEvidence(), replayedBy: nil)
                .runner(LookAtRollout())
                .retelling(RetoldRollout())
                .retelling(RetoldRefusal())
        }
    }
}
