import Foundation
import NauraData

/// The example project of the story, wherever the clone lies.
struct DemoExample: Sendable {
    let directory: String

    /// The folder given, or `examples/churn` on the way up from here or from the program itself.
    /// - Throws: ``CommandError`` when there is none.
    static func find(_ given: String?) throws -> DemoExample {
        if let given {
            guard isExample(given) else { throw CommandError(.notFound, "there is no \(given)/naura.yaml") }
            return DemoExample(directory: URL(fileURLWithPath: given).standardizedFileURL.path)
        }
        for start in [FileManager.default.currentDirectoryPath, WorkerPlan.programFolder] {
            var url = URL(fileURLWithPath: start).standardizedFileURL
            while url.path != "/" {
                let folder = url.appending(path: "examples/churn").path
                if isExample(folder) { return DemoExample(directory: folder) }
                url = url.deletingLastPathComponent()
            }
        }
        throw CommandError(.notFound, "examples/churn is nowhere on the way up from here; try: --example DIR")
    }

    private static func isExample(_ folder: String) -> Bool {
        FileManager.default.fileExists(atPath: folder + "/naura.yaml")
    }

    func data(_ name: String) -> String { "\(directory)/data/\(name)" }

    /// The project file with the webhook at `hookPort`, and with `cron` where the calendar is to ring.
    ///
    /// - Throws: ``ProjectFaults``, or ``CommandError`` when the file has no line to change.
    func project(hookPort: Int, cron: String? = nil) throws -> ProjectReader.ReadProject {
        var text = try String(contentsOfFile: "\(directory)/naura.yaml", encoding: .utf8)
        try replace("http://127.0.0.1:9099/hook", by: "http://127.0.0.1:\(hookPort)/hook", in: &text)
        if let cron { try replace("retrain: { ", by: "retrain: { cron: \"\(cron)\", time-zone: UTC, ", in: &text) }
        return try ProjectReader.read(yaml: text, directory: directory)
    }

    private func replace(_ old: String, by new: String, in text: inout String) throws {
        guard let range = text.firstRange(of: old) else {
            throw CommandError(.notFound, "\(directory)/naura.yaml does not contain `\(old)`")
        }
        text.replaceSubrange(range, with: new)
    }
}
