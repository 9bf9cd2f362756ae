// What a job once found out, applied from the event that it said: history told again, with no job run.

import NauraEvents
import NauraLedger
import NauraPostgres

/// Applies what jobs, or stages that judge by the clock, once decided and said.
///
/// In a copy that `naura replay` fills, stages handle events as they always do, and no job is run: a job's settlement is
/// taken from its event, by the same functions of the store that its runner uses.
public protocol Retelling: Sendable {
    associatedtype Input: EventPayload

    /// The kinds of jobs, and the stages, whose events it takes.
    static var origins: [StageName] { get }

    /// Writes what `event` says was decided.
    ///
    /// History knows no order between streams, so the rows that it rests on may not be there yet: then nothing is
    /// written, and ``Retold/later(_:)`` says what is missing. It is asked again whenever something has changed.
    func apply(_ event: Event<Input>, in work: borrowing Work) async throws -> Retold
}

/// What became of an event that was to be told again.
public enum Retold: Sendable, Equatable {
    case told
    /// Something that comes before it is missing: what, for people.
    case later(String)
}

/// A retelling as the replay sees it: its input type erased.
package protocol RetellingHandling: Sendable {
    /// Names its place among those of all workers.
    var name: String { get }
    var type: EventType { get }
    var origins: [StageName] { get }
    func apply(_ event: EncodedEvent, in transaction: Transaction) async throws -> Retold
}

package struct RetellingBox<R: Retelling>: RetellingHandling {
    let retelling: R
    package var name: String { "\(R.Input.type)/\(R.origins.map(\.rawValue).joined(separator: "+"))" }
    package var type: EventType { R.Input.type }
    package var origins: [StageName] { R.origins }

    package init(retelling: R) { self.retelling = retelling }

    package func apply(_ event: EncodedEvent, in transaction: Transaction) async throws -> Retold {
        let typed = Event(envelope: event.envelope, payload: try event.payload(as: R.Input.self))
        let origin = StageName(rawValue: String(event.envelope.source.dropFirst(Envelope.ownSourcePrefix.count)))
        // What it would say or file is on record, or is not to be done.
        let batch = Batch(transaction: transaction)
        return try await retelling.apply(typed, in: Work(batch, origin: origin, cause: event.envelope))
    }
}
