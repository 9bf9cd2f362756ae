import Crypto
import Foundation
import NauraFailpoints

/// SHA-256 as 64 lower-case hex digits.
public enum Digest {
    /// The SHA-256 of `bytes`.
    public static func sha256(_ bytes: [UInt8]) -> String { hex(SHA256.hash(data: bytes)) }

    /// The SHA-256 of the file at `path`, read in pieces.
    public static func sha256(file path: String) throws(DataFault) -> String {
        var hash = SHA256()
        try FileSystem.forEachChunk(of: path) { hash.update(bufferPointer: $0) }
        return hex(hash.finalize())
    }

    static func hex(_ digest: SHA256.Digest) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(64)
        for byte in digest {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// A file being written; its bytes are on the disk once ``finish()`` returns.
final class FileWriter {
    private var descriptor: Int32
    private let path: String

    init(path: String) throws(DataFault) {
        descriptor = Foundation.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        self.path = path
        guard descriptor >= 0 else { throw FileSystem.storageFault("cannot create \(path)") }
        Failpoint.fileWriting.reach()
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func write(_ bytes: [UInt8]) throws(DataFault) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(DataFault) in try write(UnsafeRawBufferPointer(bytes)) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(DataFault) {
        var offset = 0
        while offset < bytes.count {
            let written = Foundation.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            if written < 0 {
                if errno == EINTR { continue }
                throw FileSystem.storageFault("cannot write \(path)")
            }
            offset += written
        }
    }

    func finish() throws(DataFault) {
        Failpoint.fileWritten.reach()
        guard fsync(descriptor) == 0 else { throw FileSystem.storageFault("cannot sync \(path)") }
        let result = close(descriptor)
        descriptor = -1
        guard result == 0 else { throw FileSystem.storageFault("cannot close \(path)") }
    }
}

/// The few file operations the room needs, with typed faults.
enum FileSystem {
    /// Disks fill up and are emptied again: what cannot be stored now may be stored later.
    static func storageFault(_ doing: String, code: Int32 = errno) -> DataFault {
        DataFault(.storage, "\(doing): \(String(cString: strerror(code)))", isTransient: true)
    }

    /// Makes `path` and the folders above it.
    static func makeDirectory(_ path: String) throws(DataFault) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw DataFault(
                .storage, "cannot make the folder \(path): \(error.localizedDescription)", isTransient: true)
        }
    }

    /// Replaces the file at `path`, or makes it: a crash at any moment leaves the old text or the new one, and at most a
    /// file `PATH.new`, which the next replacement overwrites.
    static func replace(_ path: String, with bytes: [UInt8]) throws(DataFault) {
        let new = "\(path).new"
        try removing(new) { () throws(DataFault) in
            let file = try FileWriter(path: new)
            try file.write(bytes)
            try file.finish()
            Failpoint.fileReplacing.reach()
            try rename(new, to: path)
        }
        Failpoint.fileReplaced.reach()
        try syncDirectory((path as NSString).deletingLastPathComponent)
    }

    /// What lies directly in `folder`; nothing when another has removed it meanwhile.
    static func names(in folder: String) throws(DataFault) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            if access(folder, F_OK) != 0 { return [] }
            throw DataFault(.storage, "cannot list \(folder): \(error.localizedDescription)", isTransient: true)
        }
    }

    static func rename(_ from: String, to path: String) throws(DataFault) {
        guard Foundation.rename(from, path) == 0 else { throw storageFault("cannot rename \(from) to \(path)") }
    }

    /// Makes a rename inside the folder at `path` survive a crash of the machine.
    static func syncDirectory(_ path: String) throws(DataFault) {
        let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw storageFault("cannot open the folder \(path)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw storageFault("cannot sync the folder \(path)") }
    }

    /// Runs `body`, and removes the file at `path` when it throws.
    static func removing<R>(_ path: String, _ body: () throws(DataFault) -> R) throws(DataFault) -> R {
        do throws(DataFault) {
            return try body()
        } catch {
            unlink(path)
            throw error
        }
    }

    /// Reads the file at `path`, a quarter of a megabyte at a time.
    static func forEachChunk(
        of path: String, _ body: (UnsafeRawBufferPointer) throws(DataFault) -> Void
    ) throws(DataFault) {
        let reader = try ByteReader(path: path)
        while try reader.hasByte() {
            try body(
                UnsafeRawBufferPointer(start: reader.bytes + reader.position, count: reader.limit - reader.position))
            reader.position = reader.limit
        }
    }

    /// Removes the files directly in `folder` that have not been touched since `moment`.
    static func sweep(_ folder: String, untouchedSince moment: Date) throws(DataFault) -> Int {
        var removed = 0
        for name in try names(in: folder) {
            var status = stat()
            guard stat("\(folder)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            #if canImport(Darwin)
                let touched = status.st_mtimespec.tv_sec
            #else
                let touched = status.st_mtim.tv_sec
            #endif
            if Double(touched) < moment.timeIntervalSince1970, unlink("\(folder)/\(name)") == 0 { removed += 1 }
        }
        return removed
    }
}

/// A file that is replaced as a whole.
public enum DurableFile {
    /// Replaces the file at `path`, or makes it, durably: a crash at any moment leaves the old bytes or the new ones, and
    /// at most a file `PATH.new`, which the next replacement overwrites. One writer a path at a time.
    public static func replace(_ path: String, with bytes: [UInt8]) throws(DataFault) {
        try FileSystem.replace(path, with: bytes)
    }
}
