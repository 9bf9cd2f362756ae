import Crypto
import Foundation
import NauraFailpoints

/// A directory of bytes named by their SHA-256.
///
/// `sha256/ab/abcd…` holds the bytes; what is being written lies in a folder of its process under `writing/` until it is
/// whole and on the disk.
/// Any number of processes may put and open at the same time; putting the same bytes again changes nothing.
public struct ArtifactStore: Sendable {
    /// The store's directory.
    public let directory: String

    /// A store in `directory`, which is made when it is not there.
    public init(directory: String) throws(DataFault) {
        self.directory = directory
        for folder in ["sha256", "writing"] { try FileSystem.makeDirectory("\(directory)/\(folder)") }
    }

    /// Where the bytes called `sha256` lie, whether or not they are there.
    public func path(of sha256: String) -> String { "\(directory)/sha256/\(sha256.prefix(2))/\(sha256)" }

    /// Whether the bytes called `sha256` are in the store. Does not read them.
    public func contains(_ sha256: String) -> Bool { access(path(of: sha256), R_OK) == 0 }

    /// Stores `bytes`, durably, and returns their SHA-256.
    @discardableResult
    public func put(_ bytes: some Sequence<UInt8>) throws(DataFault) -> String {
        let bytes = Array(bytes)
        let name = Digest.sha256(bytes)
        if contains(name) { return name }
        let temporary = try temporaryPath()
        try FileSystem.removing(temporary) { () throws(DataFault) in
            let file = try FileWriter(path: temporary)
            try file.write(bytes)
            try file.finish()
            try settle(temporary, as: name)
        }
        return name
    }

    /// Stores a copy of the file at `path`, durably, and returns its SHA-256.
    @discardableResult
    public func put(file path: String) throws(DataFault) -> String {
        let temporary = try temporaryPath()
        return try FileSystem.removing(temporary) { () throws(DataFault) in
            let file = try FileWriter(path: temporary)
            var hash = SHA256()
            try FileSystem.forEachChunk(of: path) { (chunk) throws(DataFault) in
                hash.update(bufferPointer: chunk)
                try file.write(chunk)
            }
            try file.finish()
            let name = Digest.hex(hash.finalize())
            try settle(temporary, as: name)
            return name
        }
    }

    /// Where this process writes files that the store may come to hold; see ``adopt(_:)``. When the process dies, the
    /// next ``sweep(olderThan:now:)`` of another removes the folder.
    public func writingFolder() throws(DataFault) -> String { try WritingFolder.own(in: "\(directory)/writing") }

    /// Takes a file that was fetched into ``writingFolder()``, without copying it.
    public func adopt(_ file: DataSource.FetchedFile) throws(DataFault) {
        try FileSystem.removing(file.path) { () throws(DataFault) in try settle(file.path, as: file.sha256) }
    }

    /// The path of the bytes called `sha256`, after reading them through to see that they are still the same.
    ///
    /// - Throws: ``DataFault`` `artifact-missing`, or `checksum` when they have changed.
    public func open(_ sha256: String) throws(DataFault) -> String {
        let path = path(of: sha256)
        guard contains(sha256) else {
            throw DataFault(.artifactMissing, "artifact \(sha256) is not in the store \(directory)")
        }
        let found = try Digest.sha256(file: path)
        guard found == sha256 else {
            throw DataFault(.checksum, "artifact \(sha256) has changed on disk: its bytes are \(found)")
        }
        return path
    }

    /// The bytes called `sha256`, verified.
    public func bytes(_ sha256: String) throws(DataFault) -> [UInt8] {
        let path = path(of: sha256)
        guard contains(sha256) else {
            throw DataFault(.artifactMissing, "artifact \(sha256) is not in the store \(directory)")
        }
        var bytes: [UInt8] = []
        try FileSystem.forEachChunk(of: path) { bytes.append(contentsOf: $0) }
        let found = Digest.sha256(bytes)
        guard found == sha256 else {
            throw DataFault(.checksum, "artifact \(sha256) has changed on disk: its bytes are \(found)")
        }
        return bytes
    }

    /// Removes what writers that died left behind, and loose files under `writing/` not touched for `seconds`.
    ///
    /// - Returns: how many were removed.
    @discardableResult
    public func sweep(olderThan seconds: Double = 86_400, now: Date) throws(DataFault) -> Int {
        let writing = "\(directory)/writing"
        return try WritingFolder.sweep(writing)
            + FileSystem.sweep(writing, untouchedSince: now.addingTimeInterval(-seconds))
    }

    /// A path under `writing/` that no other writer uses.
    func temporaryPath() throws(DataFault) -> String { "\(try writingFolder())/\(UUID().uuidString)" }

    private func settle(_ temporary: String, as name: String) throws(DataFault) {
        let folder = "\(directory)/sha256/\(name.prefix(2))"
        try FileSystem.makeDirectory(folder)
        // Renaming over an equal file is harmless: both hold the same bytes.
        try FileSystem.rename(temporary, to: "\(folder)/\(name)")
        Failpoint.artifactRenamed.reach()
        try FileSystem.syncDirectory(folder)
        try FileSystem.syncDirectory("\(directory)/sha256")
        Failpoint.artifactSettled.reach()
    }
}
