import Foundation
import PackagePlugin

/// Embeds a target's text files (schemas, migrations, pages) as Swift string literals with their names kept whole.
///
/// `.embedInCode` flattens folders, rewrites names and writes byte arrays that take minutes to type-check.
@main
struct EmbedFiles: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let kinds: Set<String> = ["json", "yaml", "sql", "mustache", "css", "svg"]
        // The enumerator does not enter a folder that is itself a link.
        let folder = target.directoryURL.resolvingSymlinksInPath()
        guard let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else { return [] }
        let inputs = files.compactMap { $0 as? URL }
            // Schemas of earlier releases are for tests, and bear the names of the present ones.
            .filter { kinds.contains($0.pathExtension) && !$0.pathComponents.contains("released") }
            .sorted { $0.path < $1.path }
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedFiles.swift")
        // Others read the schemas and migrations; a room's own pages concern nobody else.
        let visibility = target.name == "NauraSchemas" ? "public" : "internal"
        return [
            .buildCommand(
                displayName: "Embedding \(inputs.count) files of \(target.name)",
                executable: try context.tool(named: "embed-files").url,
                arguments: [output.path, visibility, folder.path] + inputs.map(\.path),
                inputFiles: inputs, outputFiles: [output])
        ]
    }
}
