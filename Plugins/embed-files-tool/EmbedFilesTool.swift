import Foundation

/// Writes one Swift file that holds each named text file as a raw string literal.
///
/// Arguments: the file to write, `public` or `internal`, the folder that names are relative to, the files.
@main
enum EmbedFilesTool {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard let output = arguments.first, let visibility = arguments.dropFirst().first,
            let base = arguments.dropFirst(2).first
        else { throw CocoaError(.fileNoSuchFile) }
        var source = """
            /// The text files embedded at build time: each name relative to the target's folder, and its text.
            \(visibility) enum EmbeddedFiles {
                \(visibility) static let all: [(name: String, text: String)] = [

            """
        for path in arguments.dropFirst(3) {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let name = path.dropFirst(base.count).drop { $0 == "/" }
            // A delimiter of four hashes cannot end early: no embedded file contains `"""####`.
            precondition(!text.contains("\"\"\"####"), "\(path) contains the literal's own delimiter")
            source += "        (\"\(name)\", ####\"\"\"\n\(text)\n\"\"\"####),\n"
        }
        source += """
                ]

                /// The text of `name`, or nil when no such file was embedded.
                \(visibility) static func text(_ name: String) -> String? { all.first { $0.name == name }?.text }
            }

            """
        try source.write(toFile: output, atomically: true, encoding: .utf8)
    }
}
