import CLibPQ

/// One `copy … from stdin` in binary form, outside of pipeline mode.
enum CopySession {
    /// The signature, no flags, no extension.
    private static let header: [UInt8] = [
        0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00, 0, 0, 0, 0, 0, 0, 0, 0,
    ]

    /// Sends `command` and `pieces`, and returns how many rows the server took.
    static func run(
        _ command: String, _ pieces: [[UInt8]], _ handle: borrowing ConnectionHandle, _ cancellation: Cancellation
    ) throws -> Int {
        guard PQsendQuery(handle.raw, command) == 1, let first = try handle.nextResult(cancellation) else {
            throw handle.lost
        }
        defer { PQclear(first) }
        guard PQresultStatus(first) == PGRES_COPY_IN else {
            let failure = ConnectionHandle.failure(in: first)
            while let more = try handle.nextResult(cancellation) { PQclear(more) }
            throw failure?.of(command) ?? handle.lost
        }
        try put(header, handle, cancellation)
        for piece in pieces { try put(piece, handle, cancellation) }
        try put([0xFF, 0xFF], handle, cancellation)
        return try end(command, handle, cancellation)
    }

    private static func end(
        _ command: String, _ handle: borrowing ConnectionHandle, _ cancellation: Cancellation
    ) throws -> Int {
        var ended = PQputCopyEnd(handle.raw, nil)
        while ended == 0 {
            try handle.waitUntilWritable(cancellation)
            ended = PQputCopyEnd(handle.raw, nil)
        }
        guard ended == 1 else { throw handle.lost }
        var count = 0
        var failure: PostgresError?
        while let raw = try handle.nextResult(cancellation) {
            failure = failure ?? ConnectionHandle.failure(in: raw)?.of(command)
            count += ResultSet(raw).changedCount
        }
        if let failure { throw failure }
        return count
    }

    private static func put(
        _ bytes: [UInt8], _ handle: borrowing ConnectionHandle, _ cancellation: Cancellation
    ) throws {
        while true {
            let taken = bytes.withUnsafeBytes {
                PQputCopyData(handle.raw, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
            }
            if taken == 1 { break }
            guard taken == 0 else { throw handle.lost }
            try handle.waitUntilWritable(cancellation)
        }
        // In non-blocking mode libpq would keep everything in memory; wait for the socket instead.
        while PQflush(handle.raw) == 1 { try handle.waitUntilWritable(cancellation) }
    }
}
