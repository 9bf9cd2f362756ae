import Foundation
import NIOCore
import NauraData
import NauraModels
import NauraPostgres
import NauraRules
import NauraStore

/// A model that proves itself by its samples and still fails visitors: the champion's trees and one more, which answers
/// no number on a branch that no sample row reaches.
struct FaultyModel: Sendable {
    let version: Int
    /// The branch, for people: `total-charges ≥ 6,120`.
    let `where`: String

    /// Shares of visitors that the faulty branch may reach, the most wanted first.
    private static let shares = [0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02]

    /// Makes the package from version `good` of `model`, stores and registers it.
    ///
    /// - Throws: ``CommandError`` when each branch that enough visitors reach is reached by a sample row, too.
    static func register(
        from good: Int, model: String, traffic: [TrafficRow], settings: Settings, database: Database
    ) async throws -> FaultyModel {
        guard let directory = settings.artifacts else { throw CommandError(.noState, "NAURA_ARTIFACTS is not set") }
        guard
            let champion = try await database.transaction({ transaction in
                try await ModelVersions.find(model, good, in: transaction)
            })
        else { throw CommandError(.notFound, "\(model) has no version \(good)") }
        let store = try ArtifactStore(directory: directory)
        let files = try store.packageFiles(champion.artifact)
        let package = try ModelPackage.read(digest: champion.digest) { path in
            guard let bytes = files[path] else {
                throw CommandError(.notFound, "the package of version \(good) has no \(path)")
            }
            return bytes
        }
        let (faulty, branch) = try spoil(package, values: try values(of: traffic))
        let artifact = try store.putPackage(
            Dictionary(faulty.files.map { ($0.path, $0.bytes) }, uniquingKeysWith: { first, _ in first })
        ).sha256
        let version = try await database.transaction { transaction in
            try await ModelVersions.registerByHand(
                model: model, digest: faulty.digest, artifact: artifact,
                description: "made by the demo to fail where \(branch)", actor: Outgoing.actor, in: transaction)
        }
        return FaultyModel(version: version, where: branch)
    }

    /// Tries branches, those with the most visitors first, until one is found that no sample row reaches.
    private static func spoil(
        _ package: ModelPackage, values: [String: [Double]]
    ) throws -> (package: ModelPackage, branch: String) {
        var offset = 0
        var numbers: [(name: String, column: Int)] = []
        for column in try package.served().encoder.columns {
            if column.input.type == .number { numbers.append((column.input.name, offset)) }
            offset += column.input.type == .number ? 1 : column.categories.count
        }
        for share in shares {
            for (name, column) in numbers {
                guard let seen = values[name]?.sorted(), seen.count > 100 else { continue }
                let condition = Float(seen[Int(Double(seen.count) * (1 - share))])
                let json = try TreeGraft.appending(
                    to: package.bytes(of: "model.json"), column: column, condition: condition, low: 0, high: .nan)
                if let faulty = try unreached(package, json) { return (faulty, "\(name) is \(condition) or more") }
            }
        }
        throw CommandError(.notSeen, "every branch that visitors reach is reached by a sample row")
    }

    /// `package` with `json` for its model; nil when a sample row reaches the new branch: such a package would be
    /// refused at the door.
    private static func unreached(_ package: ModelPackage, _ json: [UInt8]) throws -> ModelPackage? {
        do {
            return try package.replacingModel(json)
        } catch {
            guard error.code == .notANumber else { throw error }
            return nil
        }
    }

    /// What visitors bring, by feature.
    private static func values(of traffic: [TrafficRow]) throws -> [String: [Double]] {
        var values: [String: [Double]] = [:]
        for row in traffic {
            let body = try JSONSerialization.jsonObject(with: Data(row.body.readableBytesView)) as? [String: Any]
            let instance = (body?["instances"] as? [[String: Any]])?.first ?? [:]
            for (name, value) in instance {
                if let number = value as? Double { values[name, default: []].append(number) }
            }
        }
        return values
    }
}
