import ArgumentParser

/// The command line.
@main
struct Naura: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "naura",
        abstract: "Keeps machine-learning models trained, by events.",
        discussion: """
            A command finds its Naura by walking up from the current folder to .naura/, which `naura up` makes, or from \
            NAURA_DATABASE_URL and its companions in the environment (see `naura env`).

            Exit codes: 0 done; 1 could not be done, the reason stands on standard error; 3 the event was rejected \
            (`wait`, `backfill`), or a step of the story was not seen (`demo`); 4 timed out (`wait`, `backfill`); 64 the command line could not \
            be understood.

            Begin with: naura init shop --from customers.csv --key id --label churn && cd shop && naura up --detach
            """,
        version: "0.1.0",
        groupedSubcommands: [
            CommandGroup(name: "Setting up", subcommands: [Init.self, Up.self, Down.self, Env.self, Migrate.self]),
            CommandGroup(
                name: "Turning the wheel",
                subcommands: [
                    Apply.self, Publish.self, Backfill.self, Wait.self, Retrain.self, Predict.self, TrafficCommand.self,
                    Models.self, JobsCommand.self,
                ]),
            CommandGroup(
                name: "Looking",
                subcommands: [
                    StatusCommand.self, WorkersCommand.self, EventsCommand.self, RunsCommand.self, RolloutsCommand.self,
                    DriftCommand.self,
                    DeadLettersCommand.self, ReplayCommand.self,
                ]),
            CommandGroup(name: "The story", subcommands: [Demo.self]),
        ])
}

extension ExitCode {
    /// What was waited for was rejected, or what should be seen was not.
    static let rejected = ExitCode(3)
    /// What was waited for did not happen in time.
    static let timedOut = ExitCode(4)
}
