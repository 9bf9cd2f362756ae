import Foundation
import NauraSchemas
import Testing

@testable import NauraData

/// `schemas/naura.schema.json` is for editors; the reader decides. The two must know the same keys.
@Suite("The project file's JSON Schema")
struct ProjectSchemaTests {
    private func object(_ value: Any?) -> [String: Any] { value as? [String: Any] ?? [:] }

    /// The keys of the schema's objects, as paths such as `models.rollout.bake`.
    private func keys(_ schema: [String: Any], at path: String) -> [(path: String, mapping: String, key: String)] {
        let properties = object(schema["properties"])
        var found: [(path: String, mapping: String, key: String)] = []
        for (key, value) in properties {
            let child = path.isEmpty ? key : "\(path).\(key)"
            found.append((child, path, key))
            found += keys(object(value), at: child)
            found += keys(object(object(value)["additionalProperties"]), at: child)
        }
        return found
    }

    /// A project in which every mapping of a model, a dataset and a view exists and has a key that nobody knows.
    private static let project = """
        project: p
        surplus: 1
        datasets: { d: { key: id, contract: c.yaml, surplus: 1 } }
        feature-views: { v: { entity: e, dataset: d, features: { x: x }, surplus: 1 } }
        notify: { n: { kind: webhook, url: "http://localhost/", surplus: 1 } }
        models:
          m:
            surplus: 1
            label: { dataset: d, column: y, surplus: 1 }
            features: [v]
            trainer: { kind: xgboost, surplus: 1 }
            code: { repository: a/b, surplus: 1 }
            retrain: { surplus: 1 }
            promote: { surplus: 1 }
            rollout: { surplus: 1 }
            monitor: { surplus: 1 }
        """

    @Test("the reader and the schema know the same keys")
    func keysAgree() async throws {
        let text = try #require(EmbeddedFiles.text("naura.schema.json"))
        let schema = object(try JSONSerialization.jsonObject(with: Data(text.utf8)))
        // The fault of a surplus key lists what its mapping knows.
        let known = try await withFolder { folder in
            _ = try write(
                "columns: { id: { type: text }, x: { type: number }, y: { type: text } }\n", "c.yaml", in: folder)
            var known: [String: Set<String>] = [:]
            do throws(ProjectFaults) {
                _ = try ProjectReader.read(yaml: Self.project, directory: folder)
            } catch {
                for fault in error.faults where fault.key.hasSuffix("surplus") {
                    known[fault.key] = Set(
                        fault.expected.dropFirst("one of ".count).split(separator: ", ").map(String.init))
                }
            }
            return known
        }
        #expect(known.count >= 12, "\(known.keys)")
        let ofSchema = keys(schema, at: "")
        for (mapping, words) in known {
            let path = mapping.split(separator: ".").dropLast().filter { !["d", "v", "m", "n"].contains($0) }
                .joined(separator: ".")
            let named = Set(ofSchema.filter { $0.mapping == path }.map(\.key))
            #expect(named == words, "\(path): \(named.symmetricDifference(words))")
        }
    }
}
