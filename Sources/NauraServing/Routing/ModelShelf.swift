import Foundation
import NauraData
import NauraModels
import NauraStore
import NIOPosix
import Synchronization

/// Loaded models by package: a version is read, checked and tried once, and stays warm for a while after its last use.
///
/// Packages are copied into the gateway's own store before they are opened, so that a restart finds them although the
/// artifact store may be away.
final class ModelShelf: Sendable {
    /// A version that no route names any more stays loaded so long: a rollback finds it ready.
    static let warmFor: Duration = .seconds(3_600)
    /// A package that could not be read is tried again after so long; one that was refused, never.
    static let retryAfter: Duration = .seconds(5)

    /// What is known of a package.
    private enum Entry {
        case loaded(ServedModel, usedAt: ContinuousClock.Instant)
        case failed(ServingError, retryAt: ContinuousClock.Instant?)
    }

    private let source: ArtifactStore?
    private let cache: ArtifactStore
    private let threads: NIOThreadPool
    private let entries = Mutex<[String: Entry]>([:])

    /// - Parameters:
    ///   - source: the artifact store that trainers fill; nil to live from the cache alone.
    ///   - cache: the gateway's own store.
    ///   - threads: where packages are read and checked, away from the threads that answer.
    init(source: ArtifactStore?, cache: ArtifactStore, threads: NIOThreadPool) {
        self.source = source
        self.cache = cache
        self.threads = threads
    }

    /// The models loaded now.
    var loaded: Int {
        entries.withLock { entries in
            entries.values.count { entry in if case .loaded = entry { true } else { false } }
        }
    }

    /// The model of `version`: from the shelf, or loaded, checked against its digest and its own samples.
    ///
    /// - Throws: ``ServingError`` that says why it must not or cannot serve.
    func model(_ version: RoutedVersion, now: ContinuousClock.Instant) async throws(ServingError) -> ServedModel {
        let known = entries.withLock { entries -> Result<ServedModel, ServingError>? in
            switch entries[version.artifact] {
            case .loaded(let model, _):
                entries[version.artifact] = .loaded(model, usedAt: now)
                return .success(model)
            case .failed(let error, let retryAt):
                if let retryAt, retryAt <= now { return nil }
                return .failure(error)
            case nil: return nil
            }
        }
        if let known { return try known.get() }
        do throws(ServingError) {
            let model = try await load(version)
            entries.withLock { $0[version.artifact] = .loaded(model, usedAt: now) }
            return model
        } catch {
            let retryAt = error.isTransient ? now.advanced(by: Self.retryAfter) : nil
            entries.withLock { $0[version.artifact] = .failed(error, retryAt: retryAt) }
            throw error
        }
    }

    /// Lets go of models that no route has named for an hour, and forgets refusals of packages not in `named`.
    func tidy(keeping named: Set<String>, now: ContinuousClock.Instant) {
        entries.withLock { entries in
            entries = entries.filter { artifact, entry in
                if named.contains(artifact) { return true }
                guard case .loaded(_, let usedAt) = entry else { return false }
                return now - usedAt < Self.warmFor
            }
        }
    }

    private func load(_ version: RoutedVersion) async throws(ServingError) -> ServedModel {
        do {
            return try await threads.runIfActive { [source, cache] in
                try Self.open(version, cache: cache, source: source)
            }
        } catch let error as ServingError {
            throw error
        } catch {
            throw ServingError(
                .packageMissing, "version \(version.version) could not be loaded", cause: error, isTransient: true)
        }
    }

    private static func open(
        _ version: RoutedVersion, cache: ArtifactStore, source: ArtifactStore?
    ) throws -> ServedModel {
        let files: [String: [UInt8]]
        do {
            files = try fetch(version.artifact, cache: cache, source: source)
        } catch let fault as DataFault where fault.code == .artifactMissing {
            throw ServingError(
                .packageMissing, "the package of version \(version.version) is not there", cause: fault,
                isTransient: true)
        } catch {
            throw ServingError(.packageRefused, "the package of version \(version.version) is damaged", cause: error)
        }
        do {
            return try ServedModel.load(digest: version.digest) { path in
                guard let bytes = files[path] else {
                    throw ServingError(.packageRefused, "the package of version \(version.version) has no \(path)")
                }
                return bytes
            }
        } catch let error as ServingError {
            throw error
        } catch {
            throw ServingError(.packageRefused, "version \(version.version) is refused", cause: error)
        }
    }

    /// The package's files from the cache, else from the source by way of the cache.
    private static func fetch(
        _ artifact: String, cache: ArtifactStore, source: ArtifactStore?
    ) throws -> [String: [UInt8]] {
        guard let source else { return try cache.packageFiles(artifact) }
        if cache.contains(artifact) {
            do {
                return try cache.packageFiles(artifact)
            } catch {
                // A damaged or half-copied cache is no reason to refuse a package that the source still has whole.
                try forget(artifact, files: try source.openPackage(artifact).files.values, in: cache)
            }
        }
        let files = try source.packageFiles(artifact)
        let stored = try cache.putPackage(files)
        guard stored.sha256 == artifact else {
            throw DataFault(.checksum, "the files of package \(artifact) make up the package \(stored.sha256)")
        }
        return files
    }

    private static func forget(_ artifact: String, files: some Sequence<String>, in cache: ArtifactStore) throws {
        for name in [artifact] + files where cache.contains(name) {
            try FileManager.default.removeItem(atPath: cache.path(of: name))
        }
    }
}
