import CLibPQ
import Foundation
import Synchronization

/// One session with the server, on a thread of its own.
///
/// Statements go out in libpq's pipeline mode: everything that one call sends is on its way before the first answer is
/// read, and one answer is waited for.
actor Connection {
    /// What follows a queue of statements.
    enum Final {
        /// Nothing: the queue is only emptied.
        case none
        /// A statement whose answer is wanted.
        case query(Query, isPrepared: Bool)
        case commit
    }

    private let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private var handle = ConnectionHandle()
    private let cancellation = Cancellation()
    private let operations = Atomic<UInt64>(0)
    private let descriptor = Atomic<Int32>(-1)
    private let broken = Atomic<Bool>(true)

    private var prepared: [String: String] = [:]
    private var templates = InsertTemplates()
    private var hasBegun = false
    private var hasFailed = false

    init(name: String) {
        executor = ThreadExecutor(name: name)
    }

    deinit { executor.stop() }

    // MARK: Life

    /// Connects to the server.
    func open(url: String, applicationName: String) throws {
        try handle.open(url: url, applicationName: applicationName)
        descriptor.store(handle.socket, ordering: .releasing)
        broken.store(false, ordering: .releasing)
    }

    /// Ends the session.
    func close() {
        broken.store(true, ordering: .releasing)
        descriptor.store(-1, ordering: .releasing)
        handle.close()
    }

    /// Whether the session cannot be used any more.
    nonisolated var isBroken: Bool { broken.load(ordering: .acquiring) }

    /// Whether the server has spoken to a session at rest, which it does only to end it. Costs one system call.
    nonisolated var hasBeenDisturbed: Bool {
        var descriptors = [pollfd(fd: descriptor.load(ordering: .acquiring), events: Int16(POLLIN), revents: 0)]
        return descriptors[0].fd < 0 || poll(&descriptors, 1, 0) != 0
    }

    /// Runs `body` with a number under which it can be cancelled; a cancelled operation ends the session.
    nonisolated func cancellable<R: Sendable>(_ body: (UInt64) async throws -> R) async throws -> R {
        let number = operations.add(1, ordering: .relaxed).newValue
        defer { cancellation.end(number) }
        return try await withTaskCancellationHandler {
            try await body(number)
        } onCancel: {
            cancellation.cancel(number)
        }
    }

    // MARK: Transactions

    /// Whether there is something to commit or to fail at.
    var isInTransaction: Bool { hasBegun || hasFailed }

    /// Sends `queue` and what follows it within the session's transaction, which the first call begins.
    ///
    /// The queue's failures show here. After a failure only ``rollBack()`` is left.
    @discardableResult
    func perform(_ queue: [Query], then final: Final, operation: UInt64?) throws -> ResultSet? {
        if hasFailed {
            throw PostgresError(
                .transactionAborted, "a statement of this transaction has failed; it can only roll back")
        }
        do {
            for query in queue { try query.check() }
            if case .query(let query, _) = final { try query.check() }
            return try attempt(queue, final, operation)
        } catch {
            hasFailed = true
            throw error
        }
    }

    private func attempt(_ queue: [Query], _ final: Final, _ operation: UInt64?) throws -> ResultSet? {
        let gathering = Gathering(queue, templates: &templates)
        var before: [Statement] = hasBegun ? [] : [Statement("begin")]
        if gathering.isGathered { before.append(Statement("savepoint gathered")) }
        var after: [Statement] = []
        if gathering.isGathered, case .query = final { after.append(Statement("release savepoint gathered")) }
        let groups = gathering.groups.map { group in
            switch group {
            case .single(let index): Statement(queue[index])
            case .gathered(let sql, let rows): Statement(gathered: sql, rows: rows, of: queue)
            }
        }
        do {
            return try send(before + groups + after, final, operation)
        } catch let fault as PostgresError where gathering.isGathered && hasBegun && Self.mayBeGatherings(fault) {
            // See ``Gathering``: in their own order, one by one, the same statements may well succeed.
            return try send(
                [Statement("rollback to savepoint gathered")] + queue.map { Statement($0) } + after, final, operation)
        }
    }

    /// Whether single statements might not have failed so: class 21 is a conflict clause that meets a row twice, 23 a
    /// constraint.
    private static func mayBeGatherings(_ fault: PostgresError) -> Bool {
        fault.code == .statementFailed && fault.statement != "commit"
            && ["21", "23"].contains(fault.sqlState?.prefix(2) ?? "")
    }

    private func send(_ statements: [Statement], _ final: Final, _ operation: UInt64?) throws -> ResultSet? {
        var statements = statements
        switch final {
        case .none: break
        case .query(let query, let isPrepared): statements.append(Statement(query, isPrepared: isPrepared))
        case .commit: statements.append(Statement("commit"))
        }
        if statements.isEmpty { return nil }
        let last = try run(statements, operation)
        if case .commit = final {
            hasBegun = false
            guard last.tag == "COMMIT" else {
                throw PostgresError(.transactionAborted, "the server rolled the transaction back")
            }
        }
        return last
    }

    /// Ends an open transaction without effect. A session that cannot do that is closed, which has the same effect.
    func rollBack() {
        defer {
            hasBegun = false
            hasFailed = false
        }
        guard hasBegun, !isBroken else { return }
        do { _ = try run([Statement("rollback")], nil) } catch { close() }
    }

    /// Runs one statement as a transaction of its own.
    func single(_ query: Query, operation: UInt64) throws -> ResultSet {
        try query.check()
        return try run([Statement(query)], operation)
    }

    // MARK: Pipeline

    /// What the server is asked for, in order.
    private enum Expected {
        case preparation(sql: String)
        case statement(Int)
    }

    /// Sends `statements` and one sync, and returns the last one's answer.
    private func run(_ statements: [Statement], _ operation: UInt64?) throws -> ResultSet {
        try guarded(operation) {
            var expected: [Expected] = []
            for (index, statement) in statements.enumerated() {
                try send(statement, index, &expected)
                if index % 64 == 63 { try handle.exchange() }
            }
            try handle.sendSync()
            return try receive(expected, statements)
        }
    }

    private func send(_ statement: Statement, _ index: Int, _ expected: inout [Expected]) throws {
        // The texts are finite; the limit is for a caller that makes them up.
        if !statement.isPrepared || (prepared[statement.sql] == nil && prepared.count >= 500) {
            try handle.sendOnce(statement)
        } else if let name = prepared[statement.sql] {
            try handle.sendPrepared(name: name, statement)
        } else {
            let name = "s\(prepared.count)_\(operations.add(1, ordering: .relaxed).newValue)"
            try handle.sendPrepare(name: name, statement)
            expected.append(.preparation(sql: statement.sql))
            prepared[statement.sql] = name
            try handle.sendPrepared(name: name, statement)
        }
        expected.append(.statement(index))
    }

    private func receive(_ expected: [Expected], _ statements: [Statement]) throws -> ResultSet {
        var failure: PostgresError?
        var last: ResultSet?
        for item in expected {
            let answer = try nextAnswer()
            let status = PQresultStatus(answer.raw)
            switch item {
            case .preparation(let sql):
                if status != PGRES_COMMAND_OK { prepared[sql] = nil }
                if failure == nil, let fault = ConnectionHandle.failure(in: answer.raw) { failure = fault.of(sql) }
            case .statement(let index):
                last = answer
                let sql = statements[index].sql
                if failure == nil, let fault = ConnectionHandle.failure(in: answer.raw) { failure = fault.of(sql) }
                if status == PGRES_COMMAND_OK, sql == "begin" { hasBegun = true }
            }
            if let failure, failure.code == .connectionLost { throw failure }
        }
        try readSync()
        if let failure { throw stalePlan(failure) ?? failure }
        guard let last else { throw PostgresError(.connectionLost, "the server did not answer") }
        return last
    }

    /// A table that was changed or made anew under a prepared statement: the plans are forgotten, and trying again
    /// helps.
    private func stalePlan(_ failure: PostgresError) -> PostgresError? {
        guard failure.sqlState == "0A000", failure.message.contains("cached plan") else { return nil }
        prepared.removeAll()
        return PostgresError(
            failure.code, failure.message, sqlState: failure.sqlState, statement: failure.statement, isTransient: true)
    }

    /// One statement's result, and the nil that follows it.
    private func nextAnswer() throws -> ResultSet {
        guard let raw = try handle.nextResult(cancellation) else { throw handle.lost }
        let answer = ResultSet(raw)
        while let more = try handle.nextResult(cancellation) { PQclear(more) }
        return answer
    }

    private func readSync() throws {
        guard let raw = try handle.nextResult(cancellation) else { throw handle.lost }
        defer { PQclear(raw) }
        guard PQresultStatus(raw) == PGRES_PIPELINE_SYNC else { throw handle.lost }
    }

    /// Runs `body`; a lost connection or a cancellation ends the session.
    func guarded<R>(_ operation: UInt64?, _ body: () throws -> R) throws -> R {
        if isBroken { throw PostgresError(.connectionLost, "the session has ended") }
        try cancellation.begin(operation)
        do {
            return try body()
        } catch let fault as PostgresError {
            if fault.code == .connectionLost { close() }
            throw fault
        } catch {
            // The server may still be at work, and an answer on its way: neither may reach the next user.
            if error is CancellationError { handle.cancelStatement() }
            close()
            throw error
        }
    }

    // MARK: Outside of the pipeline

    /// Runs a text of several statements inside the session's transaction.
    func script(_ text: String, operation: UInt64) throws {
        try simple(operation) {
            guard PQsendQuery(handle.raw, text) == 1 else { throw handle.lost }
            var failure: PostgresError?
            while let raw = try handle.nextResult(cancellation) {
                defer { PQclear(raw) }
                failure = failure ?? ConnectionHandle.failure(in: raw)
            }
            if let failure {
                hasFailed = true
                throw failure
            }
        }
    }

    /// Loads rows written in COPY's binary form.
    ///
    /// - Returns: how many rows the server took.
    func copy(_ command: String, pieces: [[UInt8]], operation: UInt64) throws -> Int {
        try simple(operation) {
            do {
                return try CopySession.run(command, pieces, handle, cancellation)
            } catch {
                hasFailed = true
                throw error
            }
        }
    }

    private func simple<R>(_ operation: UInt64, _ body: () throws -> R) throws -> R {
        if hasFailed {
            throw PostgresError(
                .transactionAborted, "a statement of this transaction has failed; it can only roll back")
        }
        return try guarded(operation) {
            try handle.exitPipeline()
            do {
                let result = try body()
                try handle.enterPipeline()
                return result
            } catch let fault as PostgresError where fault.code != .connectionLost {
                try handle.enterPipeline()
                throw fault
            }
        }
    }
}
