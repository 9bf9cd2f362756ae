// What an operator decides about a dead letter: to try it again, or to let it be. Each decision once, and on record.

import Foundation
import NauraEvents
import NauraPostgres

/// What a redrive has done.
public enum Redriven: Sendable, Equatable {
    /// The same event, with the same id, is on its way to its stage again.
    case event(EventID)
    /// The same job waits again, with no try counted; its runner opens again what it answers for.
    case job(Int)
    /// Somebody did it before, and nothing was done now.
    case already(by: String, at: Date)
}

/// What a drop has done.
public enum Dropped: Sendable, Equatable {
    case dropped
    /// Somebody did it before, and nothing was done now.
    case already(by: String, at: Date)
}

extension DeadLetters {
    /// Tries the letter `id` again, once for each failure, and puts `actor` on record.
    ///
    /// For an event its stage forgets that it has handled it, and the same event goes into the outbox; other stages know
    /// it already. For a job the failed row waits again. All in `transaction`: either everything of it, or nothing.
    /// - Throws: ``LedgerError`` `notRedrivable` that says why, and what to do instead; `unknownLetter`.
    public static func redrive(_ id: Int, by actor: String, in transaction: Transaction) async throws -> Redriven {
        let letter = try await lock(id, in: transaction)
        switch letter.state {
        case .redriven: return .already(by: letter.decidedBy ?? "", at: letter.decidedAt ?? letter.failedAt)
        case .dropped:
            let by = letter.decidedBy ?? "somebody"
            throw LedgerError(
                .notRedrivable,
                "dead letter \(id) was dropped by \(by) (\(letter.reason ?? "no reason")); publish the event again instead"
            )
        case .open: break
        }
        let done: Redriven
        if letter.isJob {
            done = .job(try await reopenJob(of: letter, in: transaction))
        } else {
            let event = try event(in: letter)
            try checkAge(event, of: letter)
            try await Inbox.forget(InboxKey(event.envelope), for: StageName(rawValue: letter.stage), in: transaction)
            try await Outbox.append([event], in: transaction)
            done = .event(event.envelope.id)
        }
        try await record(.redriven, of: letter, by: actor, reason: nil, in: transaction)
        return done
    }

    /// Lets the letter `id` be, for `reason`: it is not counted as open any more, and cannot be redriven.
    /// - Throws: ``LedgerError`` `notDroppable` for a letter that was redriven and did not fail since; `unknownLetter`.
    public static func drop(
        _ id: Int, by actor: String, reason: String, in transaction: Transaction
    ) async throws -> Dropped {
        let letter = try await lock(id, in: transaction)
        switch letter.state {
        case .dropped: return .already(by: letter.decidedBy ?? "", at: letter.decidedAt ?? letter.failedAt)
        case .redriven:
            throw LedgerError(
                .notDroppable,
                "dead letter \(id) was redriven by \(letter.decidedBy ?? "somebody") and has not failed since: nothing to drop"
            )
        case .open: break
        }
        try await record(.dropped, of: letter, by: actor, reason: reason, in: transaction)
        return .dropped
    }

    /// The numbers of the open letters of `stage` (of all, where none is named) that failed at or after `since`, the
    /// oldest first, at most `limit`.
    public static func open(
        of stage: String? = nil, since: Date? = nil, limit: Int = 10_000, in database: Database
    ) async throws -> [Int] {
        try await database.query(
            """
            select id from ledger.dead_letter
            where state = 'open' and (\(stage)::text is null or stage = \(stage))
            and (\(since)::timestamptz is null or failed_at >= \(since)) order by id limit \(limit)
            """
        ).map { try $0.get("id") }
    }

    // MARK: - Parts

    private static func lock(_ id: Int, in transaction: Transaction) async throws -> DeadLetterDetail {
        _ = try await transaction.query("select 1 as one from ledger.dead_letter where id = \(id) for update")
        guard let letter = try await find(id, in: transaction) else {
            throw LedgerError(.unknownLetter, "no dead letter \(id); see: naura dlq list")
        }
        return letter
    }

    /// The event that the letter holds.
    static func event(in letter: DeadLetterDetail) throws -> EncodedEvent {
        guard letter.eventID != nil, let topic = letter.topic, let body = letter.body else {
            throw refusal(
                letter, "no readable event, so there is no id to try again (\(letter.code): \(letter.message))")
        }
        do {
            return try EncodedEvent.decode(
                headers: letter.headers.map { ($0.key, Array($0.value.utf8)) }, body: body, topic: topic,
                recordTime: letter.failedAt)
        } catch {
            throw refusal(letter, "an event that cannot be read (\(error))")
        }
    }

    /// Refuses an event that its stage would refuse for its age, whatever else was repaired.
    private static func checkAge(_ event: EncodedEvent, of letter: DeadLetterDetail) throws {
        do {
            try Inbox.check(event.envelope.time, now: Date())
        } catch {
            throw refusal(letter, "an event outside the days that the inbox keeps (\(error.message))")
        }
    }

    private static func refusal(_ letter: DeadLetterDetail, _ content: String) -> LedgerError {
        LedgerError(
            .notRedrivable,
            """
            dead letter \(letter.id) holds \(content). Instead: print what came (naura dlq show \(letter.id) --body), \
            correct it, have it published again (naura publish TYPE --json @FILE, or its sender), and drop this letter
            """)
    }

    /// Has the failed job wait again. It keeps its place: jobs of its key that were filed later go after it.
    private static func reopenJob(of letter: DeadLetterDetail, in transaction: Transaction) async throws -> Int {
        let about = letter.headers["about"] ?? ""
        let row = try await transaction.first(
            """
            update ledger.job set state = 'waiting', due_at = now(), tries = 0, deaths = 0, owner = null,
                lease_until = null, started_at = null, ended_at = null, progress = null
            where kind = \(letter.stage) and about = \(about) and state = 'failed' returning id
            """)
        guard let row else {
            let job = try await transaction.first(
                "select id, state from ledger.job where kind = \(letter.stage) and about = \(about)")
            let found = try job.map {
                "job \(try $0.get("id", as: Int.self)) is \(try $0.get("state", as: String.self))"
            }
            throw LedgerError(
                .notRedrivable,
                "dead letter \(letter.id) is of a job that cannot wait again: \(found ?? "there is no such job any more")"
            )
        }
        try await transaction.notify("naura_job", letter.stage)
        return try row.get("id")
    }

    private static func record(
        _ state: DeadLetterState, of letter: DeadLetterDetail, by actor: String, reason: String?,
        in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into ledger.dead_letter_decision
                (letter_id, number, verb, actor, reason, failed_at, code, message, tries)
            values (\(letter.id), \(letter.history.count + 1)::int, \(state), \(actor), \(reason), \(letter.failedAt),
                \(letter.code), \(letter.message), \(letter.tries)::int)
            """)
        let changed = try await transaction.update(
            "update ledger.dead_letter set state = \(state) where id = \(letter.id) and state = 'open'")
        precondition(changed == 1, "dead letter \(letter.id) is locked and open")
    }
}
