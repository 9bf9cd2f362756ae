import CLibPQ
import Foundation
import Logging
import Synchronization

/// What a listener hears.
public enum Notice: Sendable, Equatable {
    /// The session listens, for the first time or again; what was said before is lost.
    case connected
    /// A notification.
    case notified(channel: String, payload: String)
    /// A second has passed, connected or not.
    case tick
}

/// Listens on a session and a thread of its own.
final class Listener: Sendable {
    private let channels: [String]
    private let url: String
    private let applicationName: String
    private let logger: Logger
    private let cancellation = Cancellation()
    private let isStopped = Atomic<Bool>(false)

    private static let tick: Duration = .seconds(1)
    private static let noticesMax = 256

    private init(channels: [String], url: String, applicationName: String, logger: Logger) {
        self.channels = channels
        self.url = url
        self.applicationName = applicationName
        self.logger = logger
    }

    static func start(channels: [String], url: String, applicationName: String, logger: Logger) -> AsyncStream<Notice> {
        let listener = Listener(channels: channels, url: url, applicationName: applicationName, logger: logger)
        let (stream, continuation) = AsyncStream.makeStream(
            of: Notice.self, bufferingPolicy: .bufferingNewest(noticesMax))
        continuation.onTermination = { _ in listener.stop() }
        let thread = Thread { listener.run(continuation) }
        thread.name = "postgres-listen"
        thread.start()
        return stream
    }

    private func stop() {
        isStopped.store(true, ordering: .releasing)
        cancellation.cancel(0)
    }

    private func run(_ continuation: AsyncStream<Notice>.Continuation) {
        var isAway = false
        while !isStopped.load(ordering: .acquiring) {
            var handle = ConnectionHandle()
            do {
                try handle.open(url: url, applicationName: applicationName + " listen")
                try handle.listen(channels, cancellation)
                if isAway { logger.info("The listener is connected again") }
                isAway = false
                continuation.yield(.connected)
                try hear(handle, continuation)
            } catch {
                if !isAway, !isStopped.load(ordering: .acquiring) {
                    logger.warning("The listener lost its connection", metadata: ["error": "\(error)"])
                }
                isAway = true
                continuation.yield(.tick)
                pause()
            }
        }
        continuation.finish()
    }

    /// Passes on what comes until the listener is stopped or the session is lost.
    private func hear(_ handle: borrowing ConnectionHandle, _ continuation: AsyncStream<Notice>.Continuation) throws {
        var nextTick = ContinuousClock.now + Self.tick
        while !isStopped.load(ordering: .acquiring) {
            let left = nextTick - ContinuousClock.now
            if left <= .zero {
                continuation.yield(.tick)
                nextTick = ContinuousClock.now + Self.tick
                continue
            }
            try handle.waitForNotice(milliseconds: Int32(left / .milliseconds(1)) + 1, cancellation)
            while let notice = handle.nextNotice() { continuation.yield(notice) }
        }
    }

    /// Waits a second before the next try, or until the listener is stopped.
    private func pause() {
        var descriptor = pollfd(fd: cancellation.wakeDescriptor, events: Int16(POLLIN), revents: 0)
        poll(&descriptor, 1, 1_000)
    }
}

extension ConnectionHandle {
    /// Leaves pipeline mode and listens on `channels`.
    func listen(_ channels: [String], _ cancellation: Cancellation) throws {
        try exitPipeline()
        for channel in channels {
            let name = "\"" + channel.replacing("\"", with: "\"\"") + "\""
            guard PQsendQuery(raw, "listen \(name)") == 1 else { throw lost }
            while let answer = try nextResult(cancellation) {
                defer { PQclear(answer) }
                if let failure = Self.failure(in: answer) { throw failure }
            }
        }
    }

    /// Waits until something arrives or the time is up.
    func waitForNotice(milliseconds: Int32, _ cancellation: Cancellation) throws {
        var descriptors = [
            pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
            pollfd(fd: cancellation.wakeDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard descriptors[0].fd >= 0 else { throw lost }
        poll(&descriptors, 2, milliseconds)
        if descriptors[0].revents != 0, PQconsumeInput(raw) != 1 { throw lost }
        guard PQstatus(raw) == CONNECTION_OK else { throw lost }
    }

    /// The next notification that has arrived.
    func nextNotice() -> Notice? {
        guard let found = PQnotifies(raw) else { return nil }
        defer { PQfreemem(found) }
        return .notified(
            channel: String(cString: found.pointee.relname), payload: String(cString: found.pointee.extra))
    }
}
