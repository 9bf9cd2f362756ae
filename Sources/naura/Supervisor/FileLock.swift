import Foundation
import Glibc

/// An exclusive hold on a file, released by the kernel when this process ends, however it ends.
///
/// Children do not inherit it.
struct FileLock: ~Copyable {
    private let descriptor: Int32

    /// Takes the lock at `path`; nil when another process holds it.
    ///
    /// - Throws: ``CommandError`` when the file cannot be opened.
    static func take(_ path: String) throws -> FileLock? {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw CommandError(.brokenState, "\(path) cannot be opened: \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        return FileLock(descriptor: descriptor)
    }

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}
