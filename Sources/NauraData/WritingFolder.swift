// Where a process writes what the artifact store may come to hold: a folder of its own, locked for as long as it lives,
// so that whoever comes later can tell what the dead have left behind from what the living are at.

import Foundation
import Synchronization

/// The folders below a store's `writing/`, one for each process that writes.
enum WritingFolder {
    /// This process' folders, by the `writing/` that they are in. Their descriptors stay open: the lock ends with the
    /// process, however it ends.
    private static let own = Mutex<[String: String]>([:])

    /// This process' folder in `writing`, made and locked at the first call.
    static func own(in writing: String) throws(DataFault) -> String {
        let result = own.withLock { folders -> Result<String, DataFault> in
            if let known = folders[writing], access(known, W_OK) == 0 { return .success(known) }
            do throws(DataFault) {
                let made = try make(in: writing)
                folders[writing] = made
                return .success(made)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private static func make(in writing: String) throws(DataFault) -> String {
        while true {
            let path = "\(writing)/\(UUID().uuidString)"
            try FileSystem.makeDirectory(path)
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            // A sweeper that came between the two steps has removed it; then another one is made.
            if descriptor < 0, errno == ENOENT { continue }
            guard descriptor >= 0 else { throw FileSystem.storageFault("cannot open the folder \(path)") }
            guard flock(descriptor, LOCK_EX) == 0 else {
                defer { close(descriptor) }
                throw FileSystem.storageFault("cannot lock the folder \(path)")
            }
            if access(path, W_OK) == 0 { return path }
            close(descriptor)
        }
    }

    /// Removes the folders whose processes are dead. Returns how many files went with them.
    static func sweep(_ writing: String) throws(DataFault) -> Int {
        var removed = 0
        for name in try FileSystem.names(in: writing) {
            let path = "\(writing)/\(name)"
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { continue }
            for file in try FileSystem.names(in: path) where unlink("\(path)/\(file)") == 0 { removed += 1 }
            rmdir(path)
        }
        return removed
    }
}
