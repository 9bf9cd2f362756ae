import Synchronization

/// A transaction that is open while the closure of ``Database/transaction(_:)`` runs.
///
/// Statements without a result are queued and cost no round trip; rows of the same `insert` become one statement (see
/// `Gathering`). The queue is sent before the next read, when it is long, or with the commit, and its failures show
/// there. Used after its end it throws. Its calls belong to one task at a time: two tasks that write at once get no
/// order.
public final class Transaction: Sendable {
    private struct State {
        var isEnded = false
        var queue: [Query] = []
        var queueBytes = 0
        var notifications: [Notification] = []
        var cursorCount = 0
    }
    private struct Notification: Hashable {
        let channel: String
        let payload: String
    }

    /// A longer queue is sent without waiting for a read: it bounds memory, and 4,000 rows are gathered as well as
    /// more.
    private static let queueRowsMax = 4_000
    private static let queueBytesMax = 4 << 20

    private let connection: Connection
    private let state = Mutex(State())

    init(_ connection: Connection) {
        self.connection = connection
    }

    /// Queues a statement whose result is not wanted. Its failure shows at the next read or at commit.
    public func execute(_ query: Query) async throws {
        let isFull = try state.withLock { state in
            guard !state.isEnded else { throw Self.ended }
            state.queue.append(query)
            state.queueBytes += query.size
            return state.queue.count >= Self.queueRowsMax || state.queueBytes >= Self.queueBytesMax
        }
        if isFull { try await flush() }
    }

    /// Runs a statement and returns how many rows it inserted, changed or deleted.
    public func update(_ query: Query) async throws -> Int {
        try await perform(then: .query(query, isPrepared: true))?.changedCount ?? 0
    }

    /// Runs a statement and returns its rows.
    public func query(_ query: Query) async throws -> [Row] {
        try await perform(then: .query(query, isPrepared: true))?.rows ?? []
    }

    /// Runs a statement and returns its first row, or nil when it has none.
    public func first(_ query: Query) async throws -> Row? {
        guard let result = try await perform(then: .query(query, isPrepared: true)), result.rowCount > 0 else {
            return nil
        }
        return Row(result: result, index: 0)
    }

    /// Calls `body` with each row of a statement, of which never more than `fetch` rows are in memory.
    ///
    /// `body` may use this transaction.
    public func forEach(_ query: Query, fetch: Int = 2_000, _ body: (Row) async throws -> Void) async throws {
        precondition(fetch > 0, "a cursor needs at least one row a fetch")
        let name = state.withLock { state in
            state.cursorCount += 1
            return "cursor_\(state.cursorCount)"
        }
        try await performOnce(Query(sql: "declare \(name) no scroll cursor for \(query.sql)", binds: query.binds))
        while let result = try await performOnce(Query(sql: "fetch \(fetch) from \(name)", binds: [])) {
            for index in 0..<result.rowCount { try await body(Row(result: result, index: index)) }
            if result.rowCount < fetch { break }
        }
        try await performOnce(Query(sql: "close \(name)", binds: []))
    }

    /// Wakes the listeners of `channel` when this transaction commits; equal notifications are sent once.
    public func notify(_ channel: String, _ payload: String = "") async throws {
        try state.withLock { state in
            guard !state.isEnded else { throw Self.ended }
            let notification = Notification(channel: channel, payload: payload)
            if !state.notifications.contains(notification) { state.notifications.append(notification) }
        }
    }

    /// Sends the queue and waits for the server's answer, so that a failure shows here.
    public func flush() async throws { try await perform(then: .none) }

    /// Loads many rows with `copy`, in the columns' own types.
    ///
    /// Integers, floats and texts are made as wide as their column; anything else must have the column's type. Larger
    /// loads are several calls with some thousands of rows each: all rows of a call are in memory.
    ///
    /// - Parameters:
    ///   - table: the table with its schema.
    ///   - rows: one value per column each, in the columns' order.
    /// - Returns: how many rows were loaded.
    @discardableResult
    public func copy(
        into table: StaticString, columns: [StaticString], rows: some Sequence<[PostgresValue]>
    ) async throws -> Int {
        let list = columns.map { "\($0)" }.joined(separator: ", ")
        let shape = try await perform(
            then: .query(Query(sql: "select \(list) from \(table) limit 0", binds: []), isPrepared: true))
        guard let shape else { return 0 }
        let encoder = CopyEncoder(table: "\(table)", columns: columns.map { "\($0)" }, shape: shape)
        let pieces = try encoder.encode(rows)
        return try await connection.cancellable { operation in
            try await connection.copy(
                "copy \(table) (\(list)) from stdin (format binary)", pieces: pieces, operation: operation)
        }
    }

    /// Runs a text of several statements, such as a migration. Nothing in it can be bound.
    func script(_ text: String) async throws {
        try await flush()
        // The queue may have been empty; a script must not run before `begin`.
        try await performOnce("select 1")
        try await connection.cancellable { operation in try await connection.script(text, operation: operation) }
    }

    // MARK: End

    /// Sends what is queued and commits.
    func commit() async throws {
        let (queue, isUntouched) = try end()
        if isUntouched, await !connection.isInTransaction { return }
        // Not cancellable: once the commit is on its way, its outcome is worth the wait.
        try await connection.perform(queue, then: .commit, operation: nil)
    }

    /// Forgets what is queued and undoes what was sent.
    func rollBack() async {
        state.withLock { state in
            state.isEnded = true
            state.queue = []
        }
        await connection.rollBack()
    }

    private func end() throws -> (queue: [Query], isUntouched: Bool) {
        try state.withLock { state in
            guard !state.isEnded else { throw Self.ended }
            state.isEnded = true
            var queue = state.queue
            state.queue = []
            for notification in state.notifications {
                queue.append("select pg_notify(\(notification.channel), \(notification.payload))")
            }
            return (queue, queue.isEmpty)
        }
    }

    // MARK: Sending

    private static var ended: PostgresError {
        PostgresError(.transactionEnded, "the transaction has ended; its closure must not hand it out")
    }

    private func takeQueue() throws -> [Query] {
        try state.withLock { state in
            guard !state.isEnded else { throw Self.ended }
            let queue = state.queue
            state.queue = []
            state.queueBytes = 0
            return queue
        }
    }

    @discardableResult
    private func perform(then final: Connection.Final) async throws -> ResultSet? {
        let queue = try takeQueue()
        if queue.isEmpty, case .none = final { return nil }
        return try await connection.cancellable { operation in
            try await connection.perform(queue, then: final, operation: operation)
        }
    }

    /// Runs a statement whose text is used only once, so that the server keeps no plan for it.
    @discardableResult
    private func performOnce(_ query: Query) async throws -> ResultSet? {
        try await perform(then: .query(query, isPrepared: false))
    }
}
