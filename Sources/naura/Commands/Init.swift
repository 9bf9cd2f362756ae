import ArgumentParser
import Foundation
import NauraData

/// `naura init DIR --from data.csv --key id --label late`.
struct Init: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes naura.yaml and a contract, inferred from a data file.",
        discussion: """
            Dataset, view and model are named after the folder. Both files are meant to be read and edited.

            Example:
              naura init flights --from 2013-01.csv --key flight --label late --timestamp departure
            """)

    @Argument(help: "The folder to make.") var directory: String
    @Option(help: "The data file, CSV or JSON lines.") var from: String
    @Option(help: "The column that names the entity.") var key: String
    @Option(help: "The column to be predicted; two classes.") var label: String
    @Option(help: "The column with the event time; the moment of arrival where nothing is said.")
    var timestamp: String?

    func run() throws {
        let written = try ProjectWriter.write(
            ProjectWriter.Request(directory: directory, source: from, key: key, label: label, timestamp: timestamp))
        Terminal.print("wrote \(written.projectFile) and \(written.contractFile)")
        Terminal.print("")
        Terminal.print("model \(written.name) predicts \(label) = \(written.positive) from:")
        Terminal.print("  \(written.features.joined(separator: ", "))")
        for choice in written.skipped { Terminal.print("  not \(choice.column): \(choice.reason ?? "")") }
        let file = Outgoing.uri(from)
        Terminal.print("")
        Terminal.print("next:")
        Terminal.print("  cd \(directory)")
        Terminal.print("  naura up --detach && naura apply")
        Terminal.print("  naura wait $(naura publish new-data --dataset \(written.name) --uri \(file))")
    }
}
