import Foundation
import NauraData
import NauraEvents
import NauraPostgres
import NauraRules
import NauraStore
import NauraTestKit
import Testing

@testable import featurize
@testable import validate

/// A project over small data files, applied to a test database, with the workers that bring data in.
struct DataSample {
    let folder: String
    let database: Database
    let artifacts: ArtifactStore

    static let contract = """
        columns:
          id: { type: text, nullable: false }
          at: { type: timestamp, nullable: false }
          charges: { type: number }
          months: { type: number }
          plan: { type: text }
          churn: { type: text, values: ["Yes", "No"] }
        """

    static let project = """
        project: churn
        datasets:
          customers: { key: id, timestamp: at, contract: customers.yaml }
        feature-views:
          profile:
            entity: customer
            dataset: customers
            features:
              plan: plan
              spend: charges / nullif(months, 0)
              months: months
        models:
          churn:
            label: { dataset: customers, column: churn }
            features: [profile]
        """

    /// Lends a sample with the project applied.
    static func with(_ body: (DataSample) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("naura-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer {
            do { try FileManager.default.removeItem(atPath: folder) } catch { Issue.record("\(error)") }
        }
        try await TestDatabase.with { database in
            let sample = DataSample(
                folder: folder, database: database, artifacts: try ArtifactStore(directory: "\(folder)/artifacts"))
            try await sample.apply(project)
            try await body(sample)
        }
    }

    /// Applies the project file `yaml` beside the sample's contract.
    @discardableResult
    func apply(_ yaml: String, contract: String = contract) async throws -> AppliedProject {
        try contract.write(toFile: "\(folder)/customers.yaml", atomically: true, encoding: .utf8)
        let read = try ProjectReader.read(yaml: yaml, directory: folder)
        return try await database.transaction { transaction in
            try await Projects.apply(
                read.definition, sha256: read.sha256, source: read.source, by: "test", in: transaction)
        }
    }

    /// Writes a data file and returns its address.
    func file(_ text: String, _ name: String = "data.csv") throws -> String {
        try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
        return "file://\(folder)/\(name)"
    }

    /// Publishes what lies at `uri` and runs the validation that follows.
    func publish(
        _ uri: String, dataset: DatasetID = "customers", sha256: String? = nil, time: Date = Date()
    ) async throws {
        try await handle(
            NewData(dataset: dataset, uri: uri, sha256: sha256), by: NumberSnapshot(), time: time, in: database)
        try await runJobs(of: ValidateSnapshot(artifacts: artifacts), in: database)
    }

    /// Hands each data-validated event to the featurize worker and runs its jobs.
    func featurize() async throws {
        for validated in try await said(DataValidated.self, in: database) {
            try await handle(
                validated, by: OrderFeatures(), id: .init(rawValue: "validated-\(validated.number)"), in: database)
        }
        try await runJobs(of: FeaturizeSnapshot(artifacts: artifacts), in: database)
    }

    /// One column of a statement's rows as text.
    func column(_ query: Query) async throws -> [String] {
        try await database.query(query).map { try $0.get("value", as: String.self) }
    }

    /// The files in the store, and those that are being written.
    func artifactFiles() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: artifacts.directory).filter { $0.hasSuffix("/") == false }
            .filter { path in
                var isFolder: ObjCBool = false
                let exists = FileManager.default.fileExists(
                    atPath: "\(artifacts.directory)/\(path)", isDirectory: &isFolder)
                return exists && !isFolder.boolValue
            }
    }
}
