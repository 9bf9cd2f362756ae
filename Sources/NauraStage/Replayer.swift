// A worker in a copy: its stages read the copy's own outbox instead of Kafka, its jobs' ends are taken from history.

import Foundation
import Logging
import NauraEvents
import NauraFailpoints
import NauraLedger
import NauraPostgres

/// Handles what is told in a copy, and tells what its jobs once said, until the replay is over.
///
/// Any number of them work side by side: each (stage, stream) and each retelling has one holder at a time, and its place
/// moves in the transaction that does the work. A death repeats nothing and loses nothing.
package struct Replayer: Sendable {
    private static let batchEventsMax = 500
    private static let triesMax = 3

    let worker: String
    let parts: WorkerParts
    let database: Database
    let logger: Logger

    package init(worker: String, parts: WorkerParts, database: Database, logger: Logger) {
        self.worker = worker
        self.parts = parts
        self.database = database
        self.logger = logger
    }

    package func run() async throws {
        let stages = parts.replayedStages
        try await database.transaction { transaction in
            try await History.enter(
                worker: worker, stages: stages.map(\.name), tellers: parts.retellings.map(\.name), in: transaction)
        }
        let streams = try await History.streams(in: database)
        // Without whoever leads the replay nobody would end it.
        let leader = getppid()
        for await _ in database.listen([History.channel]) {
            do {
                while try await pass(stages, streams) {}
                if try await History.isOver(in: database) || getppid() != leader { return }
            } catch {
                guard case .transient = Failure(error) else { throw error }
                // The next notice comes within a second.
                logger.warning("waiting for the database", metadata: ["error": "\(error)"])
            }
            try Task.checkCancellation()
        }
    }

    /// Does what there is to do now; false when that was nothing.
    private func pass(_ stages: [any StageHandling], _ streams: [Int]) async throws -> Bool {
        var hasMoved = false
        for stage in stages {
            for stream in streams {
                while try await handle(stage, stream) { hasMoved = true }
            }
        }
        for retelling in parts.retellings where try await tell(retelling) { hasMoved = true }
        return hasMoved
    }

    // MARK: - Stages

    private func handle(_ stage: any StageHandling, _ stream: Int) async throws -> Bool {
        do {
            return try await read(stage, stream, limit: Self.batchEventsMax)
        } catch {
            guard case .event = Failure(error) else { throw error }
        }
        // One fails alone and never takes its neighbours down.
        for _ in 0..<Self.batchEventsMax {
            guard try await handleOne(stage, stream) else { break }
        }
        return true
    }

    private func handleOne(_ stage: any StageHandling, _ stream: Int) async throws -> Bool {
        for attempt in 1... {
            do {
                return try await read(stage, stream, limit: 1)
            } catch {
                guard case .event = Failure(error) else { throw error }
                guard error is Rejection || error is EventFault || attempt == Self.triesMax else { continue }
                return try await read(stage, stream, limit: 1, failure: error, tries: attempt)
            }
        }
        return false
    }

    /// Handles the next events of a stream in one transaction; with a `failure`, files the next one as a dead letter.
    private func read(
        _ stage: any StageHandling, _ stream: Int, limit: Int, failure: (any Error)? = nil, tries: Int = 0
    ) async throws -> Bool {
        let type = EventType(rawValue: stage.topic)
        return try await database.transaction { transaction in
            guard let unread = try await History.readOn(stage.name, type: type, in: stream, limit: limit, transaction)
            else { return false }
            let keys = unread.events.map { InboxKey($0.envelope) }
            try await Inbox.ensure(days: Set(keys.map(\.day)).sorted(), in: transaction)
            var fresh = try await Inbox.claim(keys, for: stage.name, in: transaction)
            let batch = Batch(transaction: transaction)
            let new = zip(unread.events, keys).filter { fresh.remove($0.1.key) != nil }.map(\.0)
            if let failure, let event = new.first {
                try await bury(event, by: failure, tries: tries, at: stage, in: batch)
            } else if !new.isEmpty {
                let opened = try new.map { OpenedEvent(encoded: $0, payload: try stage.decode($0)) }
                try await stage.handle(opened, in: batch)
            }
            // Jobs that were filed are dropped: nobody runs them here.
            try await History.tell(batch.outgoing.events, in: transaction)
            try await History.move(past: unread, in: transaction)
            return true
        }
    }

    private func bury(
        _ event: EncodedEvent, by failure: any Error, tries: Int, at stage: any StageHandling, in batch: Batch
    ) async throws {
        let (code, message) =
            switch failure {
            case let rejection as Rejection: (rejection.code, rejection.message)
            case let fault as EventFault: ("\(fault.code)", fault.message)
            default: ("failed", "\(failure)")
            }
        let envelope = event.envelope
        let letter = DeadLetterRow(
            stage: stage.name, eventID: envelope.id, rootID: envelope.rootID, topic: envelope.type.rawValue,
            key: Array(envelope.subject.utf8), headers: event.headers, body: event.body, code: code, message: message,
            tries: tries)
        guard let filed = try await DeadLetters.file(letter, in: batch.transaction) else { return }
        try await Work(batch, origin: stage.name, cause: envelope)
            .emit(DeadLetter(letter), about: filed.about(envelope.id.rawValue))
    }

    // MARK: - Retellings

    /// Tells what `retelling` can tell now; false when that was nothing.
    private func tell(_ retelling: any RetellingHandling) async throws -> Bool {
        let state = try await History.state(in: database)
        var (hasMoved, waiting) = (false, Set<String>())
        var last: RecordedEvent?
        while true {
            let page = try await History.untold(
                retelling.type, by: retelling.origins, after: last, limit: Self.batchEventsMax, in: database)
            // What was said of one subject is told in its order.
            for recorded in page where !waiting.contains(recorded.event.envelope.subject) {
                switch try await tell(recorded.event, by: retelling) {
                case nil: return hasMoved
                case .told: hasMoved = true
                case .later: waiting.insert(recorded.event.envelope.subject)
                }
            }
            guard page.count == Self.batchEventsMax, let end = page.last else { break }
            last = end
        }
        if !hasMoved { try await History.note(retelling.name, saw: state, in: database) }
        return hasMoved
    }

    /// - Returns: nil when another instance holds the place.
    private func tell(_ event: EncodedEvent, by retelling: any RetellingHandling) async throws -> Retold? {
        do {
            return try await database.transaction { transaction in
                guard let isUntold = try await History.hold(retelling.name, for: event, in: transaction) else {
                    return nil
                }
                guard isUntold else { return .told }
                let retold = try await retelling.apply(event, in: transaction)
                switch retold {
                case .told: try await History.tell([event], in: transaction)
                case .later(let reason): try await History.note(event, waitsFor: reason, in: transaction)
                }
                return retold
            }
        } catch {
            guard case .event = Failure(error) else { throw error }
            logger.warning(
                "an event of history was refused",
                metadata: ["event": "\(event.envelope.id)", "type": "\(event.envelope.type)", "error": "\(error)"])
            try await database.transaction { try await History.note(event, waitsFor: "\(error)", in: $0) }
            return .later("\(error)")
        }
    }
}
