import Foundation
import NauraData
import NauraStore

/// The last routes on disk, from which a gateway starts when the database is away.
struct RouteCache: Sendable {
    /// What the file holds.
    private struct Content: Codable {
        var format = "naura-routes-1"
        let routes: [ServedRoute]
    }

    private let path: String

    /// A cache in `directory`, which exists.
    init(directory: String) { path = directory + "/routes.json" }

    /// The routes of the last ``store(_:)``; nil when there was none.
    ///
    /// - Throws: ``ServingError`` when the file is there and cannot be used.
    func load() throws(ServingError) -> [ServedRoute]? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            return try JSONDecoder().decode(Content.self, from: data).routes
        } catch {
            throw ServingError(.cache, "\(path) cannot be read", cause: error)
        }
    }

    /// Replaces the routes; a crash leaves the old ones or the new ones.
    func store(_ routes: [ServedRoute]) throws(ServingError) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            try DurableFile.replace(path, with: Array(encoder.encode(Content(routes: routes))))
        } catch {
            throw ServingError(.cache, "\(path) cannot be written", cause: error, isTransient: true)
        }
    }
}
