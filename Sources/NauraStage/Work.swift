// What a handler may touch: the transaction, and what it wants said or done afterwards.

import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import Synchronization

/// What a handler may touch. Lent, never owned: it cannot outlive its transaction.
public struct Work: ~Copyable {
    public let transaction: Transaction
    /// The event that is being handled, or that led to the job; nil in `prepare` and for work that nothing caused.
    public let cause: Envelope?
    private let origin: StageName
    private let about: String
    private let causeID: EventID?
    private let rootID: EventID?
    private let traceparent: String?
    /// The team of the job that is being done: what it files is on the same account.
    private let team: String?
    /// The lease under which a job is done; nil for a stage.
    private let epoch: Int?
    private let outgoing: Outgoing

    init(_ batch: Batch, origin: StageName, cause: Envelope?) {
        transaction = batch.transaction
        outgoing = batch.outgoing
        self.origin = origin
        self.cause = cause
        about = cause?.id.rawValue ?? ""
        causeID = cause?.id
        rootID = cause?.rootID
        traceparent = cause?.traceparent
        team = nil
        epoch = nil
    }

    package init(_ batch: Batch, of job: ClaimedJob) {
        transaction = batch.transaction
        outgoing = batch.outgoing
        origin = StageName(rawValue: job.kind.rawValue)
        cause = nil
        about = job.about
        causeID = job.causeID
        rootID = job.rootID
        traceparent = job.traceparent
        team = job.team
        epoch = job.epoch
    }

    /// The span of the work at hand, as the trace has it; nil where nothing led to it.
    private var span: String? {
        if let cause {
            return Traceparent.child(
                of: traceparent, root: cause.rootID, span: SpanName.handling(cause.id, at: origin))
        }
        return epoch.map { epoch in
            Traceparent.child(
                of: traceparent, root: rootID ?? EventID(rawValue: about),
                span: SpanName.job(origin.rawValue, about, epoch: epoch))
        }
    }

    /// Announces `payload`. It reaches Kafka only if this transaction commits.
    ///
    /// The event's id is a hash of stage, type, subject and `about`, so that a repetition says the same event.
    /// - Parameter about: what the event is about, where one cause leads to several events of a type and subject;
    ///   else the cause's id, or the job's own `about`.
    /// - Parameter lineage: replaces the cause, the root and the trace, for work that answers to another event than the
    ///   one at hand.
    @discardableResult
    public func emit(
        _ payload: some EventPayload, about: String? = nil, lineage: Lineage? = nil
    ) async throws -> EventID {
        let type = Swift.type(of: payload).type
        let id = EventID.derived(stage: origin, type: type, subject: payload.subject, about: about ?? self.about)
        let root = lineage?.root ?? rootID
        // What no event led to begins a trace of its own: else all slots of a calendar would be one.
        let trace = lineage.map(\.traceparent) ?? (root == nil ? nil : traceparent)
        let envelope = Envelope(
            id: id, type: type, source: "/naura/\(origin.rawValue)", subject: payload.subject, time: Date(),
            causeID: lineage?.cause ?? causeID, rootID: root ?? id,
            traceparent: Traceparent.published(type, id, parent: trace, root: root ?? id))
        if let sheet = outgoing.sheet {
            let parent = lineage.map(\.traceparent) ?? (root == nil ? nil : span)
            sheet.said(envelope, parent: parent, by: span)
        }
        outgoing.say(try EncodedEvent(payload, envelope: envelope))
        return id
    }

    /// Files a job, which a lease runner does after this transaction has committed, and `delay` later.
    ///
    /// Jobs of one kind and `key` run one at a time, in the order in which they were filed.
    /// - Parameter team: whose share of the slots the job uses, such as its project; nil: that of the job being done,
    ///   else its key's own.
    public func file(
        _ kind: JobKind, key: String, about: String, arguments: some Encodable & Sendable,
        after delay: Duration = .zero, priority: JobPriority = .retrain, team: String? = nil,
        policy: FilePolicy = .keep
    ) async throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        outgoing.file(
            JobRequest(
                kind: kind, key: key, about: about,
                arguments: String(decoding: try encoder.encode(arguments), as: UTF8.self),
                delaySeconds: delay.seconds, priority: priority, team: team ?? self.team, policy: policy,
                causeID: causeID,
                rootID: rootID,
                traceparent: rootID == nil ? nil : span))
        outgoing.sheet?.filed()
    }
}

/// The event that work answers to, where it is another one than the event at hand.
public struct Lineage: Sendable {
    public let cause: EventID
    public let root: EventID
    /// The trace context of the cause.
    public let traceparent: String?

    public init(cause: EventID, root: EventID, traceparent: String?) {
        self.cause = cause
        self.root = root
        self.traceparent = traceparent
    }
}

/// Events and jobs that a transaction will write at its end, in one statement each.
package final class Outgoing: Sendable {
    private let state = Mutex<(events: [EncodedEvent], jobs: [JobRequest])>(([], []))
    /// Nil while no traces are exported.
    let sheet: SpanSheet?

    init(sheet: SpanSheet?) { self.sheet = sheet }

    func say(_ event: EncodedEvent) { state.withLock { $0.events.append(event) } }
    func file(_ job: JobRequest) { state.withLock { $0.jobs.append(job) } }
    package var events: [EncodedEvent] { state.withLock { $0.events } }
    package var jobs: [JobRequest] { state.withLock { $0.jobs } }
}

extension Duration {
    /// In seconds, with fractions.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
