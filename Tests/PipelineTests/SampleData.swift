import Foundation
import NauraData
import NauraRules

/// Three monthly files of invented deliveries, the same at every call, and the project that `naura init` writes for them.
struct SampleData {
    let folder: URL
    let projectFile: String
    let dataset: String
    let files: [URL]

    static func write(files count: Int = 3, rows: Int = 1_200) throws -> SampleData {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-sample-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        var random = SplitMix64(seed: 1)
        let files = try (1...count).map { month in
            let file = folder.appending(path: "2013-0\(month).csv")
            try Data(text(month: month, rows: rows, &random).utf8).write(to: file)
            return file
        }
        let written = try ProjectWriter.write(
            ProjectWriter.Request(
                directory: folder.appending(path: "deliveries").path, source: files[0].path, key: "id", label: "late",
                timestamp: "event_time"))
        // A run of seconds: what `init` writes waits for two seconds of quiet after each file.
        let project = try String(contentsOfFile: written.projectFile, encoding: .utf8)
        try
            (project.replacing("quiet-period: 2s", with: "quiet-period: 500ms")
            .replacing("    monitor:", with: "    notify: [people]\n    monitor:")
            + "notify:\n  people: { kind: log }\n")
            .write(toFile: written.projectFile, atomically: true, encoding: .utf8)
        return SampleData(folder: folder, projectFile: written.projectFile, dataset: written.name, files: files)
    }

    /// A file that lacks a column: it is refused, and people are told.
    func writeBroken() throws -> URL {
        let file = folder.appending(path: "broken.csv")
        try Data("id,event_time,distance,weight\nd1,2013-01-01T00:00:00Z,1,1\n".utf8).write(to: file)
        return file
    }

    func remove() {
        // What stays behind lies in the system's temporary folder.
        _ = Result { try FileManager.default.removeItem(at: folder) }
    }

    private static func text(month: Int, rows: Int, _ random: inout SplitMix64) -> String {
        var lines = ["id,event_time,distance,weight,carrier,region,fragile,late"]
        for row in 0..<rows {
            let distance = Double.random(in: 1...900, using: &random)
            let weight = Int.random(in: 1...60, using: &random)
            let carrier = ["north", "south, east", "west"].randomElement(using: &random) ?? "west"
            let region = ["A", "B", "C", "D"].randomElement(using: &random) ?? "A"
            let score = distance / 300 + (carrier == "west" ? 1.5 : 0) + Double(weight) / 40
            let isLate = score + Double.random(in: -1.5...1.5, using: &random) > 3
            let day = row % 27 + 1
            lines.append(
                [
                    "d\(row % 900)", String(format: "2013-%02d-%02dT%02d:00:00Z", month, day, row % 24),
                    row % 41 == 0 ? "" : String(format: "%.1f", distance), "\(weight)", "\"\(carrier)\"", region,
                    row % 3 == 0 ? "yes" : "no", isLate ? "yes" : "no",
                ].joined(separator: ","))
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
