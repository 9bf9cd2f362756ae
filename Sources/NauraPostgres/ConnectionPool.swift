import Synchronization

/// Hands out sessions, at most so many at a time; who finds none waits in line.
final class ConnectionPool: Sendable {
    private struct Waiter {
        let id: UInt64
        /// Resumed with a session, or with nil as the right to open one.
        let continuation: CheckedContinuation<Connection?, any Error>
    }
    private struct State {
        var idle: [Connection] = []
        /// Sessions open, being opened, or promised to a waiter.
        var count = 0
        var waiters: [Waiter] = []
        var nextID: UInt64 = 0
        var isClosed = false
    }
    private enum Step {
        case use(Connection)
        case open
        case wait(UInt64)
    }

    private let connectionsMax: Int
    private let name: String
    private let open: @Sendable (Connection) async throws -> Void
    private let state = Mutex(State())

    init(connectionsMax: Int, name: String, open: @escaping @Sendable (Connection) async throws -> Void) {
        precondition(connectionsMax > 0, "a pool needs at least one connection")
        self.connectionsMax = connectionsMax
        self.name = name
        self.open = open
    }

    /// Lends a session; give it back with ``release(_:)``.
    ///
    /// - Throws: what opening a session throws, or `CancellationError`.
    func acquire() async throws -> Connection {
        let step = try state.withLock { state throws(PostgresError) -> Step in
            guard !state.isClosed else { throw Self.closed }
            if let connection = state.idle.popLast() { return .use(connection) }
            if state.count < connectionsMax {
                state.count += 1
                return .open
            }
            state.nextID += 1
            return .wait(state.nextID)
        }
        switch step {
        case .use(let connection): return try await checked(connection)
        case .open: return try await opened()
        case .wait(let id):
            guard let connection = try await wait(id) else { return try await opened() }
            return try await checked(connection)
        }
    }

    /// Takes a session back: for the next in line, or for later. A broken one gives its place to a new one.
    func release(_ connection: Connection) {
        give(connection.isBroken ? nil : connection)
    }

    /// Ends the idle sessions now and the others when they come back; who waits gets an error.
    func close() async {
        let (idle, waiters) = state.withLock { state in
            state.isClosed = true
            defer {
                state.count -= state.idle.count
                state.idle = []
                state.waiters = []
            }
            return (state.idle, state.waiters)
        }
        waiters.forEach { $0.continuation.resume(throwing: Self.closed) }
        for connection in idle { await connection.close() }
    }

    private static let closed = PostgresError(.databaseClosed, "the database was closed")

    /// A session that rested may have lost its server; such a one is replaced before anything is sent.
    private func checked(_ connection: Connection) async throws -> Connection {
        guard connection.isBroken || connection.hasBeenDisturbed else { return connection }
        await connection.close()
        return try await opened()
    }

    private func opened() async throws -> Connection {
        let connection = Connection(name: name)
        do {
            try await open(connection)
            return connection
        } catch {
            give(nil)
            throw error
        }
    }

    /// Passes on a session, or the right to open one.
    private func give(_ connection: Connection?) {
        let waiter = state.withLock { state -> Waiter? in
            if !state.isClosed, !state.waiters.isEmpty { return state.waiters.removeFirst() }
            if let connection, !state.isClosed { state.idle.append(connection) } else { state.count -= 1 }
            return nil
        }
        waiter?.continuation.resume(returning: connection)
    }

    private func wait(_ id: UInt64) async throws -> Connection? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                enqueue(Waiter(id: id, continuation: continuation))
            }
        } onCancel: {
            forget(id)
        }
    }

    private func enqueue(_ waiter: Waiter) {
        enum Outcome {
            case queued
            case open
            case use(Connection)
            case closed
        }
        // A session may have come back since the step was decided.
        let outcome = state.withLock { state -> Outcome in
            if state.isClosed { return .closed }
            if let connection = state.idle.popLast() { return .use(connection) }
            if state.count < connectionsMax {
                state.count += 1
                return .open
            }
            state.waiters.append(waiter)
            return .queued
        }
        switch outcome {
        case .queued:
            // The cancellation handler may have run before the waiter stood in line.
            if Task.isCancelled { forget(waiter.id) }
        case .open: waiter.continuation.resume(returning: nil)
        case .use(let connection): waiter.continuation.resume(returning: connection)
        case .closed: waiter.continuation.resume(throwing: Self.closed)
        }
    }

    private func forget(_ id: UInt64) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiters.remove(at: index)
        }
        waiter?.continuation.resume(throwing: CancellationError())
    }
}
