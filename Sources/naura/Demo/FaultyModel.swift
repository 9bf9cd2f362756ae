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

    /// Makes the package from version `good` of `model`, stores and registers it.
    ///
    /// - Throws: ``CommandError`` when every branch that visitors reach is reached by a sample row, too.
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

    /// Adds a branch between two neighbouring values of the sample rows: the one that most visitors reach.
    ///
    /// - Throws: ``CommandError`` when no such branch is reached by one visitor in fifty.
    private static func spoil(
        _ package: ModelPackage, values: [String: [Double]]
    ) throws -> (package: ModelPackage, branch: String) {
        let samples = try SampleColumns(package.bytes(of: "samples.json"))
        var best: (share: Double, name: String, column: Int, range: Range<Float>)?
        var offset = 0
        for column in try package.served().encoder.columns {
            defer { offset += column.input.type == .number ? 1 : column.categories.count }
            guard column.input.type == .number, let seen = values[column.input.name]?.map({ Float($0) }) else {
                continue
            }
            for range in samples.gaps(of: column.input.name) {
                let share = Double(seen.count { range.contains($0) }) / Double(seen.count)
                if share > best?.share ?? 0.02 { best = (share, column.input.name, offset, range) }
            }
        }
        guard let best else {
            throw CommandError(.notSeen, "every branch that visitors reach is reached by a sample row")
        }
        let json = try TreeGraft.appending(
            to: package.bytes(of: "model.json"), column: best.column, range: best.range, value: .nan)
        let branch = "\(best.name) is in \(best.range.lowerBound) ..< \(best.range.upperBound)"
        return (try package.replacingModel(json), "\(branch) (\(Int((best.share * 100).rounded())) % of visitors)")
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

/// The numbers in a package's sample rows, by column.
private struct SampleColumns: Decodable {
    private let columns: [String]
    private let rows: [[Cell]]

    private enum Cell: Decodable {
        case number(Float)
        case other

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            do {
                self = .number(try container.decode(Float.self))
            } catch DecodingError.typeMismatch, DecodingError.valueNotFound {
                self = .other
            }
        }
    }

    init(_ json: [UInt8]) throws { self = try JSONDecoder().decode(SampleColumns.self, from: Data(json)) }

    /// The intervals of `column` that lie between two neighbouring sample values and hold neither.
    func gaps(of column: String) -> [Range<Float>] {
        guard let place = columns.firstIndex(of: column) else { return [] }
        let numbers = Set(
            rows.compactMap { row -> Float? in
                if case .number(let number) = row[place] { number } else { nil }
            }
        ).sorted()
        return zip(numbers, numbers.dropFirst()).compactMap { low, high in
            low.nextUp < high ? low.nextUp..<high : nil
        }
    }
}
