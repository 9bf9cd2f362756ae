// Dead letters as people read them: in lists, and one with everything that is known of it.

import Foundation
import NauraEvents
import NauraPostgres

/// Where a dead letter stands.
public enum DeadLetterState: String, Codable, Sendable, CaseIterable {
    /// Nobody has decided anything about its newest failure.
    case open
    /// Tried again, and not failed since.
    case redriven
    /// Somebody said that it may be forgotten.
    case dropped
}

/// A dead letter as lists show it.
public struct DeadLetterSummary: Codable, Sendable, Equatable {
    public let id: Int
    public let stage: String
    public let topic: String?
    public let eventID: String?
    public let state: DeadLetterState
    /// How often it has failed for good: more than once after redrives.
    public let failures: Int
    public let code: String
    public let message: String
    public let tries: Int
    public let rootID: String?
    public let failedAt: Date
    /// Who redrove or dropped it last, when, and why.
    public let decidedBy: String?
    public let decidedAt: Date?
    public let reason: String?

    private enum CodingKeys: String, CodingKey {
        case id, stage, topic, state, failures, code, message, tries, reason
        case eventID = "event_id"
        case rootID = "root_id"
        case failedAt = "failed_at"
        case decidedBy = "decided_by"
        case decidedAt = "decided_at"
    }

    init(_ row: Row) throws {
        id = try row.get("id")
        stage = try row.get("stage")
        topic = try row.get("topic")
        eventID = try row.get("event_id")
        state = try row.get("state")
        failures = try row.get("failures")
        code = try row.get("code")
        message = try row.get("message")
        tries = try row.get("tries")
        rootID = try row.get("root_id")
        failedAt = try row.get("failed_at")
        decidedBy = try row.get("decided_by")
        decidedAt = try row.get("decided_at")
        reason = try row.get("reason")
    }
}

/// An earlier failure of a dead letter, and what somebody decided about it.
public struct DeadLetterDecision: Codable, Sendable, Equatable {
    public let failedAt: Date
    public let code: String
    public let message: String
    public let tries: Int
    /// `redriven` or `dropped`.
    public let verb: DeadLetterState
    public let actor: String
    public let reason: String?
    public let decidedAt: Date

    private enum CodingKeys: String, CodingKey {
        case code, message, tries, verb, actor, reason
        case failedAt = "failed_at"
        case decidedAt = "decided_at"
    }
}

/// Everything that is known of a dead letter.
public struct DeadLetterDetail: Sendable {
    let summary: DeadLetterSummary
    public let partition: Int?
    public let offset: Int?
    public let key: [UInt8]?
    /// The record's headers; for a job what it is about.
    public let headers: [String: String]
    /// The record's value; for a job its arguments.
    public let body: [UInt8]?
    /// What was decided about each of its failures, the oldest first.
    public let history: [DeadLetterDecision]

    public var id: Int { summary.id }
    public var stage: String { summary.stage }
    public var topic: String? { summary.topic }
    public var eventID: String? { summary.eventID }
    public var rootID: String? { summary.rootID }
    public var state: DeadLetterState { summary.state }
    public var failures: Int { summary.failures }
    public var code: String { summary.code }
    public var message: String { summary.message }
    public var tries: Int { summary.tries }
    public var failedAt: Date { summary.failedAt }
    public var decidedBy: String? { summary.decidedBy }
    public var decidedAt: Date? { summary.decidedAt }
    public var reason: String? { summary.reason }
    /// Whether a job failed, and no record of a topic.
    public var isJob: Bool { topic == nil && headers["about"] != nil }
}

extension DeadLetters {
    /// The latest `limit` dead letters, oldest first.
    /// - Parameters:
    ///   - stage: only those of this stage, or kind of job.
    ///   - since: only those that failed at this moment or later.
    public static func list(
        state: DeadLetterState? = nil, stage: String? = nil, since: Date? = nil, limit: Int = 50, in database: Database
    ) async throws -> [DeadLetterSummary] {
        try await database.query(
            """
            select l.id, stage, topic, event_id, state, failures, code, message, tries, root_id, failed_at,
                decided_by, decided_at, reason
            from ledger.dead_letter l left join lateral (
                select actor as decided_by, decided_at, reason from ledger.dead_letter_decision
                where letter_id = l.id order by number desc limit 1) decision on true
            where (\(state)::text is null or state = \(state)) and (\(stage)::text is null or stage = \(stage))
            and (\(since)::timestamptz is null or failed_at >= \(since))
            order by id desc limit \(limit)
            """
        ).reversed().map(DeadLetterSummary.init)
    }

    /// The letter `id` with its history; nil when there is none.
    public static func find(_ id: Int, in transaction: Transaction) async throws -> DeadLetterDetail? {
        let row = try await transaction.first(
            """
            select l.id, stage, topic, event_id, state, failures, code, message, tries, root_id, failed_at,
                decided_by, decided_at, reason, partition, record_offset, record_key, headers, body
            from ledger.dead_letter l left join lateral (
                select actor as decided_by, decided_at, reason from ledger.dead_letter_decision
                where letter_id = l.id order by number desc limit 1) decision on true
            where l.id = \(id)
            """)
        guard let row else { return nil }
        let history = try await transaction.query(
            """
            select failed_at, code, message, tries, verb, actor, reason, decided_at
            from ledger.dead_letter_decision where letter_id = \(id) order by number limit 1000
            """
        ).map { row in
            DeadLetterDecision(
                failedAt: try row.get("failed_at"), code: try row.get("code"), message: try row.get("message"),
                tries: try row.get("tries"), verb: try row.get("verb"), actor: try row.get("actor"),
                reason: try row.get("reason"), decidedAt: try row.get("decided_at"))
        }
        return DeadLetterDetail(
            summary: try DeadLetterSummary(row), partition: try row.get("partition"),
            offset: try row.get("record_offset"), key: try row.get("record_key"), headers: try row.json("headers"),
            body: try row.get("body"), history: history)
    }

    /// Whether the work that `letter` tells of has been settled since it was redriven.
    public static func isSettled(_ letter: DeadLetterDetail, in transaction: Transaction) async throws -> Bool {
        guard letter.state == .redriven else { return false }
        if letter.isJob {
            let row = try await transaction.first(
                """
                select state = 'done' as is_done from ledger.job
                where kind = \(letter.stage) and about = \(letter.headers["about"] ?? "")
                """)
            return try row?.get("is_done") ?? false
        }
        let envelope = try event(in: letter).envelope
        let row = try await transaction.first(
            """
            select 1 as one from ledger.inbox
            where stage = \(letter.stage) and event_key = \(InboxKey(envelope).key) limit 1
            """)
        return row != nil
    }
}
