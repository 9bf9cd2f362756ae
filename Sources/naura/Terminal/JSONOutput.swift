import Foundation
import NauraEvents

/// What `--json` prints: one array (or object) in snake_case, times in RFC 3339, absent values as `null`.
enum JSONOutput {
    /// Prints `rows`; each object has all of `keys`, with `null` where a value is absent.
    static func print(_ rows: some Encodable, keys: [String] = []) throws {
        let data = try CodableTimes.encoder.encode(rows)
        guard !keys.isEmpty, let objects = try JSONSerialization.jsonObject(with: data) as? [[String: Any]] else {
            return Terminal.print(String(decoding: data, as: UTF8.self))
        }
        // Codable leaves out what is nil; whoever reads the list should not have to ask whether a key exists.
        let whole = objects.map { object in
            object.merging(keys.map { ($0, NSNull()) }) { present, _ in present }
        }
        let text = try JSONSerialization.data(withJSONObject: whole, options: [.sortedKeys, .withoutEscapingSlashes])
        Terminal.print(String(decoding: text, as: UTF8.self))
    }
}
