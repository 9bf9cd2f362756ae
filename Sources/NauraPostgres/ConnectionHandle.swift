import CLibPQ
import Foundation

/// libpq's connection: opened and closed here, freed with its owner. Every call blocks, so only the thread of the
/// ``Connection`` that owns it may make one.
///
/// Once open it is non-blocking and in pipeline mode; `script` and `copy` leave that mode while they run.
struct ConnectionHandle: ~Copyable {
    private(set) var raw: OpaquePointer?

    deinit { PQfinish(raw) }

    init() {}

    /// Connects; returns when the server has taken the session or refused it.
    mutating func open(url: String, applicationName: String) throws {
        close()
        let settings = [
            ("dbname", url),
            ("application_name", applicationName),
            ("client_encoding", "UTF8"),
            ("connect_timeout", "5"),
            // A server that vanished without a word is noticed by the kernel after this many milliseconds.
            ("tcp_user_timeout", "10000"),
            ("options", "-c timezone=UTC -c idle_in_transaction_session_timeout=10000 -c lock_timeout=10000"),
        ]
        let keys = settings.map { strdup($0.0) }
        let values = settings.map { strdup($0.1) }
        defer { (keys + values).forEach { free($0) } }
        let keywordList = keys.map { UnsafePointer($0) } + [nil]
        let valueList = values.map { UnsafePointer($0) } + [nil]
        raw = PQconnectdbParams(keywordList, valueList, 1)
        guard let raw, PQstatus(raw) == CONNECTION_OK else {
            let message = lastMessage
            close()
            throw PostgresError(.cannotConnect, message, isTransient: Self.mayPass(message))
        }
        // Notices ("there is no transaction in progress") would go to stderr, past the log.
        PQsetNoticeProcessor(raw, { _, _ in }, nil)
        PQsetnonblocking(raw, 1)
        try enterPipeline()
    }

    mutating func close() {
        PQfinish(raw)
        raw = nil
    }

    /// libpq gives no SQLSTATE for a refused connection, so the few refusals that no waiting cures are known by text.
    private static func mayPass(_ message: String) -> Bool {
        let final = [
            "authentication failed", "no pg_hba.conf entry", "does not exist", "no password supplied", "invalid",
            "certificate", "private key", "does not support SSL",
        ]
        return !final.contains { message.contains($0) }
    }

    /// What libpq last said.
    var lastMessage: String {
        guard let raw, let text = PQerrorMessage(raw) else { return "not connected" }
        return String(cString: text).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The failure of a connection that ended.
    var lost: PostgresError { PostgresError(.connectionLost, lastMessage) }

    /// The socket's descriptor.
    var socket: Int32 { PQsocket(raw) }

    /// Asks the server, over a connection of its own, to stop what it does for this one.
    func cancelStatement() {
        guard let request = PQgetCancel(raw) else { return }
        defer { PQfreeCancel(request) }
        var message = [CChar](repeating: 0, count: 256)
        // Where the request fails the server notices at its next write that the session has ended.
        PQcancel(request, &message, Int32(message.count))
    }

    func enterPipeline() throws {
        guard PQenterPipelineMode(raw) == 1 else { throw lost }
    }

    func exitPipeline() throws {
        guard PQexitPipelineMode(raw) == 1 else { throw lost }
    }

    // MARK: Sending

    func sendPrepare(name: String, _ statement: Statement) throws {
        guard PQsendPrepare(raw, name, statement.sql, Int32(statement.types.count), statement.types) == 1 else {
            throw lost
        }
    }

    func sendPrepared(name: String, _ statement: Statement) throws {
        let sent = statement.withParameters { types, values, lengths, formats in
            PQsendQueryPrepared(raw, name, Int32(types.count), values, lengths, formats, 1)
        }
        guard sent == 1 else { throw lost }
    }

    func sendOnce(_ statement: Statement) throws {
        let sent = statement.withParameters { types, values, lengths, formats in
            PQsendQueryParams(raw, statement.sql, Int32(types.count), types, values, lengths, formats, 1)
        }
        guard sent == 1 else { throw lost }
    }

    func sendSync() throws {
        guard PQpipelineSync(raw) == 1 else { throw lost }
    }

    /// Sends what fits and takes in what has come, without waiting. Called while many statements are being queued, so
    /// that neither side's buffers fill up while the other waits.
    func exchange() throws {
        guard PQflush(raw) >= 0, PQconsumeInput(raw) == 1 else { throw lost }
    }

    // MARK: Reading

    /// The next result, or nil at the end of one statement's results.
    func nextResult(_ cancellation: Cancellation) throws -> OpaquePointer? {
        while PQisBusy(raw) == 1 { try wait(cancellation) }
        return PQgetResult(raw)
    }

    /// Waits until the socket takes more, or the server has sent something.
    func waitUntilWritable(_ cancellation: Cancellation) throws { try wait(cancellation) }

    /// Waits until the server has sent something, or takes more of what is left to send.
    private func wait(_ cancellation: Cancellation) throws {
        let unsent = PQflush(raw)
        var descriptors = [
            pollfd(fd: socket, events: Int16(POLLIN) | (unsent == 1 ? Int16(POLLOUT) : 0), revents: 0),
            pollfd(fd: cancellation.wakeDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard descriptors[0].fd >= 0 else { throw lost }
        let count = poll(&descriptors, 2, -1)
        if count < 0 && errno != EINTR { throw PostgresError(.connectionLost, "poll failed with errno \(errno)") }
        if descriptors[1].revents != 0, cancellation.takeIsCancelled() { throw CancellationError() }
        if descriptors[0].revents & ~Int16(POLLOUT) != 0, PQconsumeInput(raw) != 1 { throw lost }
    }

    /// The failure in `result`, or nil when it is none. Leaves `result` alone.
    static func failure(in result: OpaquePointer) -> PostgresError? {
        let status = PQresultStatus(result)
        guard status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE else { return nil }
        func field(_ code: Character) -> String? {
            PQresultErrorField(result, Int32(code.asciiValue!)).map { String(cString: $0) }
        }
        guard let primary = field("M") else {
            let text = PQresultErrorMessage(result).map { String(cString: $0) } ?? ""
            return PostgresError(.connectionLost, text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        let detail = field("D").map { ": \($0)" } ?? ""
        let isFatal = ["FATAL", "PANIC"].contains(field("V") ?? "")
        return PostgresError(isFatal ? .connectionLost : .statementFailed, primary + detail, sqlState: field("C"))
    }
}
