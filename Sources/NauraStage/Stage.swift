// The one abstraction: decode → handle in one transaction → commit the offset. A stage is the middle.

import NauraEvents
import NauraLedger
import NauraPostgres

/// One step of the pipeline: reads an event, changes the database, announces what follows.
public protocol Stage: Sendable {
    associatedtype Input: EventPayload

    /// Names the inbox rows; a renamed stage handles its topic's events again.
    static var name: StageName { get }

    /// Loads what the whole batch needs before its events are handled one by one: a stage that reads once a batch
    /// is some five times faster than one that waits for a read at each event.
    func prepare(for events: [Event<Input>], in work: borrowing Work) async throws

    /// Handles `event` inside the one open transaction behind `work`.
    ///
    /// Called again after a crash or a failure, so it touches nothing but `work`: no HTTP, no files, no clock.
    ///
    /// - Throws: ``Rejection`` when no retry can help; the event becomes a dead letter.
    ///   Any other error rolls the transaction back, and the event is tried again.
    func handle(_ event: Event<Input>, in work: borrowing Work) async throws
}

extension Stage {
    public func prepare(for events: [Event<Input>], in work: borrowing Work) async throws {}
}

/// Says that no retry can help: the event or job becomes a dead letter with this reason.
public struct Rejection: Error, CustomStringConvertible {
    /// A short word for programs, `rejected` unless told.
    public let code: String
    /// What is wrong, with the values at fault, and what to do.
    public let message: String

    public init(_ message: String, code: String = "rejected") {
        self.message = message
        self.code = code
    }

    public var description: String { "\(code): \(message)" }
}

/// A stage as the partition loop sees it: its input type erased, its topic known.
///
/// The generic part is kept this small on purpose: the optimiser of Swift 6.3 has crashed on a large asynchronous loop
/// that was itself generic over `Stage`.
package protocol StageHandling: Sendable {
    var name: StageName { get }
    var topic: String { get }
    func decode(_ event: EncodedEvent) throws(EventFault) -> any EventPayload
    func handle(_ events: [OpenedEvent], in batch: Batch) async throws
}

/// A record that was read as an event of its topic. Behind one reference: a batch hands it on some ten times.
package final class OpenedEvent: Sendable {
    package let encoded: EncodedEvent
    package let payload: any EventPayload
    package let key: InboxKey

    package init(encoded: EncodedEvent, payload: any EventPayload) {
        self.encoded = encoded
        self.payload = payload
        key = InboxKey(encoded.envelope)
    }
}

/// What the events of one transaction share.
package struct Batch: Sendable {
    package let transaction: Transaction
    package let outgoing: Outgoing

    package init(transaction: Transaction) { self.init(transaction: transaction, sheet: nil) }

    /// - Parameter sheet: where what is said leaves its spans; nil while no traces are exported.
    init(transaction: Transaction, sheet: SpanSheet?) {
        self.transaction = transaction
        outgoing = Outgoing(sheet: sheet)
    }
}

package struct StageBox<S: Stage>: StageHandling {
    let stage: S
    package var name: StageName { S.name }
    package var topic: String { S.Input.type.rawValue }

    package init(stage: S) { self.stage = stage }

    package func decode(_ event: EncodedEvent) throws(EventFault) -> any EventPayload {
        try event.payload(as: S.Input.self)
    }

    package func handle(_ events: [OpenedEvent], in batch: Batch) async throws {
        let typed = events.compactMap { opened in
            (opened.payload as? S.Input).map { Event(envelope: opened.encoded.envelope, payload: $0) }
        }
        precondition(typed.count == events.count, "events of another type reached \(S.name)")
        try await stage.prepare(for: typed, in: Work(batch, origin: S.name, cause: nil))
        for event in typed {
            try await stage.handle(event, in: Work(batch, origin: S.name, cause: event.envelope))
        }
    }
}
