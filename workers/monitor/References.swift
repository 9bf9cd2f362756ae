import NauraData
import NauraModels
import NauraStore
import Synchronization

/// The references of the versions that answered lately, read from their packages.
final class References: Sendable {
    private let artifacts: ArtifactStore
    private let known = Mutex<[String: Reference]>([:])

    /// A canary and a champion a model; more are read again.
    private static let referencesMax = 64

    init(_ artifacts: ArtifactStore) {
        self.artifacts = artifacts
    }

    /// The bins and counts that `version` was trained on.
    ///
    /// - Throws: ``ModelFault`` or ``DataFault`` when its package cannot be read or is not what it was.
    func reference(of version: ModelVersion) async throws -> Reference {
        if let reference = known.withLock({ $0[version.digest] }) { return reference }
        let artifacts = artifacts
        // Reading and checking a package blocks, so it has a thread of its own.
        let reference = try await LibraryThread.run { _ in
            let files = try artifacts.packageFiles(version.artifact)
            return try ServedModel.load(digest: version.digest) { path in
                guard let bytes = files[path] else {
                    throw ModelFault(.malformed, "the package of version \(version.version) has no \(path)")
                }
                return bytes
            }.reference
        }
        known.withLock { known in
            if known.count >= Self.referencesMax { known.removeAll() }
            known[version.digest] = reference
        }
        return reference
    }
}
