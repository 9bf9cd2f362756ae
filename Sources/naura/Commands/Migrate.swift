import ArgumentParser
import NauraPostgres

/// `naura migrate`: brings the tables up to date.
struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Brings the database's tables to the state that this program expects.",
        discussion: """
            `naura up` does it by itself; elsewhere (compose, Kubernetes) this command runs before the workers. \
            Migrations only go forward; an edited one is refused.

            Examples:
              NAURA_DATABASE_URL=postgresql://… naura migrate
              naura migrate --pending
            """)

    @Flag(help: "Only list what would be applied.")
    var pending = false

    func run() async throws {
        try await Connection.open(Settings.current()) { database in
            if pending {
                let names = try await SchemaFiles.migrator.pending(on: database)
                Terminal.print(names.isEmpty ? "nothing is pending" : names.joined(separator: "\n"))
            } else {
                let names = try await SchemaFiles.migrator.run(on: database)
                Terminal.print(names.isEmpty ? "nothing to do" : names.map { "applied \($0)" }.joined(separator: "\n"))
            }
        }
    }
}
