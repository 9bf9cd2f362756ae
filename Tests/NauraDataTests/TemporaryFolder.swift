import Foundation
import NauraData
import Testing

/// Lends a fresh folder and removes it afterwards.
func withFolder<R>(_ body: (String) async throws -> R) async throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("naura-data-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer {
        do { try FileManager.default.removeItem(atPath: folder) } catch {
            Issue.record("cannot remove \(folder): \(error)")
        }
    }
    return try await body(folder)
}

/// Writes `text` to a file in `folder` and returns its path.
func write(_ text: String, _ name: String = "data.csv", in folder: String) throws -> String {
    try write(Array(text.utf8), name, in: folder)
}

/// Writes `bytes` to a file in `folder` and returns its path.
func write(_ bytes: [UInt8], _ name: String = "data.csv", in folder: String) throws -> String {
    let path = "\(folder)/\(name)"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
}

/// All rows of `reader` as text.
func rows(_ reader: any RecordReader) throws -> [[String]] {
    var record = Record()
    var rows: [[String]] = []
    while try reader.next(into: &record) { rows.append((0..<record.count).map { record.text($0) }) }
    return rows
}
