import Foundation

/// Several files that belong together: a manifest of relative paths and SHA-256 names, itself stored by content.
public struct ArtifactPackage: Sendable, Equatable {
    /// The manifest's own SHA-256: the package's name.
    public let sha256: String
    /// The SHA-256 of each file by its path inside the package.
    public let files: [String: String]
}

extension ArtifactStore {
    private struct Manifest: Codable {
        var files: [String: String]
        var format = "naura-package-1"
    }

    /// Stores `files` (bytes by relative path) and their manifest; equal files make an equal name.
    @discardableResult
    public func putPackage(_ files: [String: [UInt8]]) throws(DataFault) -> ArtifactPackage {
        var names: [String: String] = [:]
        for (path, bytes) in files {
            try Self.checkPath(path)
            names[path] = try put(bytes)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            let manifest = try encoder.encode(Manifest(files: names))
            return ArtifactPackage(sha256: try put(manifest), files: names)
        } catch let fault as DataFault {
            throw fault
        } catch {
            throw DataFault(.malformed, "a package's manifest cannot be written: \(error)")
        }
    }

    /// Stores every file below `directory` as one package.
    @discardableResult
    public func putPackage(directory root: String) throws(DataFault) -> ArtifactPackage {
        guard let paths = FileManager.default.enumerator(atPath: root) else {
            throw DataFault(.notFound, "the folder \(root) cannot be read")
        }
        var files: [String: [UInt8]] = [:]
        for case let path as String in paths {
            var isDirectory: ObjCBool = false
            guard FileManager.default.fileExists(atPath: "\(root)/\(path)", isDirectory: &isDirectory) else { continue }
            if isDirectory.boolValue { continue }
            var bytes: [UInt8] = []
            try FileSystem.forEachChunk(of: "\(root)/\(path)") { bytes.append(contentsOf: $0) }
            files[path] = bytes
        }
        return try putPackage(files)
    }

    /// The package called `sha256`; its manifest is verified, its files are verified when they are opened.
    public func openPackage(_ sha256: String) throws(DataFault) -> ArtifactPackage {
        let bytes = try bytes(sha256)
        do {
            let manifest = try JSONDecoder().decode(Manifest.self, from: Data(bytes))
            return ArtifactPackage(sha256: sha256, files: manifest.files)
        } catch {
            throw DataFault(.malformed, "artifact \(sha256) is no package: \(error)")
        }
    }

    /// All files of the package called `sha256`, verified.
    public func packageFiles(_ sha256: String) throws(DataFault) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for (path, name) in try openPackage(sha256).files { files[path] = try bytes(name) }
        return files
    }

    /// Writes all files of the package called `sha256`, verified, below `directory`.
    public func writePackage(_ sha256: String, to directory: String) throws(DataFault) {
        for (path, bytes) in try packageFiles(sha256) {
            try Self.checkPath(path)
            let target = "\(directory)/\(path)"
            try FileSystem.makeDirectory((target as NSString).deletingLastPathComponent)
            let file = try FileWriter(path: target)
            try file.write(bytes)
            try file.finish()
        }
    }

    /// A package never writes outside of its folder.
    private static func checkPath(_ path: String) throws(DataFault) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        if path.isEmpty || parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) {
            throw DataFault(.malformed, "'\(path)' is no relative path inside a package")
        }
    }
}
