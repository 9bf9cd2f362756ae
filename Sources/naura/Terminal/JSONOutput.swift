import Foundation
import NauraEvents

/// What `--json` prints: one array (or object) in snake_case, times in RFC 3339, absent values as `null`.
enum JSONOutput {
    /// Prints `value`; its object, or each object of its array, has all of `keys`, with `null` where a value is absent.
    static func print(_ value: some Encodable, keys: [String] = []) throws {
        let data = try CodableTimes.encoder.encode(value)
        guard !keys.isEmpty else { return Terminal.print(String(decoding: data, as: UTF8.self)) }
        // Codable leaves out what is nil; whoever reads the list should not have to ask whether a key exists.
        func whole(_ object: [String: Any]) -> [String: Any] {
            object.merging(keys.map { ($0, NSNull()) }) { present, _ in present }
        }
        let found = try JSONSerialization.jsonObject(with: data)
        let filled: Any =
            if let objects = found as? [[String: Any]] { objects.map(whole) } else {
                (found as? [String: Any]).map(whole) ?? found
            }
        let text = try JSONSerialization.data(withJSONObject: filled, options: [.sortedKeys, .withoutEscapingSlashes])
        Terminal.print(String(decoding: text, as: UTF8.self))
    }
}
