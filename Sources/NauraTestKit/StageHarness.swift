// Runs a stage or a job as the runtime would, against a real database and without a broker.

import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStage

/// What a stage or a job has said and filed.
public struct Handled: Sendable {
    /// Whether the event was new to the stage; false means that nothing else ran.
    public let isNew: Bool
    public let events: [EncodedEvent]
    public let jobs: [JobRequest]

    /// The payloads of type `P` among the events.
    public func payloads<P: EventPayload>(_: P.Type) throws -> [P] {
        try events.filter { $0.envelope.type == P.type }.map { try $0.payload(as: P.self) }
    }
}

/// Has `stage` handle `payload` in one transaction, inbox and outbox included.
@discardableResult
public func handle<S: Stage>(
    _ payload: S.Input, by stage: S, id: EventID = .random(), root: EventID? = nil, time: Date = Date(),
    in database: Database
) async throws -> Handled {
    let encoded = try EncodedEvent(
        payload, id: id, source: "/naura/test", time: time, causeID: nil, rootID: root)
    let event = OpenedEvent(encoded: encoded, payload: payload)
    try await Inbox.ensure(days: [event.key.day], in: database)
    return try await database.transaction { transaction in
        let fresh = try await Inbox.claim([event.key], for: S.name, in: transaction)
        let batch = Batch(transaction: transaction)
        if !fresh.isEmpty { try await StageBox(stage: stage).handle([event], in: batch) }
        let handled = Handled(
            isNew: !fresh.isEmpty, events: batch.outgoing.events, jobs: batch.outgoing.jobs)
        try await batch.flushShared()
        return handled
    }
}

/// Claims and runs due jobs of `runner`'s kind one after another until none is left; returns how many ran.
///
/// A job that throws ends the call with its error; it stays claimed, as after a death.
@discardableResult
public func runJobs<R: JobRunner>(of runner: R, in database: Database, most: Int = 100) async throws -> Int {
    var count = 0
    while count < most,
        let job = try await Jobs.claim(kinds: [R.kind], owner: "test", leaseSeconds: 60, in: database)
    {
        try await RunnerBox(runner: runner).run(job, under: Lease(job, database: database))
        count += 1
    }
    return count
}

/// Claims due jobs of `runner`'s kind and ends each as failed for good, with what it answered for, as the runtime does
/// after its last try; returns how many.
@discardableResult
public func giveUpJobs<R: JobRunner>(
    of runner: R, because failure: JobFailure, in database: Database
) async throws -> Int {
    var count = 0
    while let job = try await Jobs.claim(kinds: [R.kind], owner: "test", leaseSeconds: 60, in: database) {
        try await database.transaction { transaction in
            try await Jobs.fail(job, code: failure.code, message: failure.message, in: transaction)
            let batch = Batch(transaction: transaction)
            try await RunnerBox(runner: runner).abandon(job, because: failure, in: Work(batch, of: job))
            try await batch.flushShared()
        }
        count += 1
    }
    return count
}

/// The payloads of type `P` in the outbox, oldest first.
public func said<P: EventPayload>(_: P.Type, in database: Database) async throws -> [P] {
    try await Outbox.events(ofType: P.type, in: database).map { try $0.payload(as: P.self) }
}
