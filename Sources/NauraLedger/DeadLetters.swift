// What failed for good, kept with everything needed to look at it and to try it again.

import Crypto
import Foundation
import NauraEvents
import NauraPostgres

/// A record or a job that no retry could help.
public struct DeadLetterRow: Sendable {
    public let stage: StageName
    public let eventID: EventID?
    public let rootID: EventID?
    public let topic: String?
    public let partition: Int32?
    public let offset: Int64?
    public let key: [UInt8]?
    /// The record's headers; values that are no UTF-8 are kept as hex.
    public let headers: [(name: String, value: [UInt8])]
    public let body: [UInt8]?
    public let code: String
    public let message: String
    public let tries: Int

    public init(
        stage: StageName, eventID: EventID?, rootID: EventID?, topic: String? = nil, partition: Int32? = nil,
        offset: Int64? = nil, key: [UInt8]? = nil, headers: [(name: String, value: [UInt8])] = [],
        body: [UInt8]? = nil, code: String, message: String, tries: Int
    ) {
        self.stage = stage
        self.eventID = eventID
        self.rootID = rootID
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.key = key
        self.headers = headers
        self.body = body
        self.code = code
        self.message = message
        self.tries = tries
    }

    /// What makes two failures the same: the event's id where there is one, else the record's bytes and place.
    var fingerprint: String {
        if let eventID { return eventID.rawValue }
        var hash = SHA256()
        for part in [Array((topic ?? "").utf8), key ?? [], body ?? []] {
            hash.update(data: Data("\(part.count):".utf8))
            hash.update(data: Data(part))
        }
        for header in headers {
            hash.update(data: Data("\(header.name)=".utf8))
            hash.update(data: Data(header.value))
        }
        return hash.finalize().map { String(format: "%02x", $0) }.joined()
    }
}

extension DeadLetter {
    /// The event that tells of `row`.
    public init(_ row: DeadLetterRow) {
        self.init(
            stage: row.stage, topic: row.topic, partition: row.partition, offset: row.offset, eventID: row.eventID,
            key: row.key.map { String(decoding: $0, as: UTF8.self) }, code: row.code, message: row.message,
            tries: row.tries)
    }
}

/// A dead letter that was filed, or opened again.
public struct FiledLetter: Sendable, Equatable {
    public let id: Int
    /// How often it has failed for good, this time included.
    public let failures: Int

    /// What the event that tells of it is about: `subject` the first time; a failure after a redrive is news of its own.
    public func about(_ subject: String) -> String { failures == 1 ? subject : "\(subject)#\(failures)" }
}

/// The dead letters.
public enum DeadLetters {
    /// Files `letter`, or opens the one on file again when it was redriven meanwhile.
    ///
    /// Returns nil for a failure that is on file and was not redriven: a second delivery, which is no news.
    public static func file(_ letter: DeadLetterRow, in transaction: Transaction) async throws -> FiledLetter? {
        let headers = Dictionary(
            letter.headers.map { header in
                (
                    header.name,
                    String(validating: header.value, as: UTF8.self)
                        ?? header.value.map { String(format: "%02x", $0) }.joined()
                )
            }, uniquingKeysWith: { first, _ in first })
        let row = try await transaction.first(
            """
            insert into ledger.dead_letter
                (stage, fingerprint, event_id, topic, partition, record_offset, record_key, headers, body, code,
                 message, tries, root_id)
            values (\(letter.stage.rawValue), \(letter.fingerprint), \(letter.eventID?.rawValue), \(letter.topic),
                \(letter.partition.map(Int.init))::int, \(letter.offset.map(Int.init)), \(letter.key),
                \(json: headers), \(letter.body), \(letter.code), \(letter.message), \(letter.tries)::int,
                \(letter.rootID?.rawValue))
            on conflict (stage, fingerprint) do update set
                state = 'open', failures = ledger.dead_letter.failures + 1, failed_at = excluded.failed_at,
                code = excluded.code, message = excluded.message, tries = excluded.tries,
                partition = excluded.partition, record_offset = excluded.record_offset,
                headers = excluded.headers, body = excluded.body
            where ledger.dead_letter.state = 'redriven'
            returning id, failures
            """)
        return try row.map { FiledLetter(id: try $0.get("id"), failures: try $0.get("failures")) }
    }

    /// How many open dead letters `stage` has, or all stages together.
    public static func count(of stage: StageName? = nil, in database: Database) async throws -> Int {
        let row = try await database.query(
            """
            select count(*)::bigint as n from ledger.dead_letter
            where state = 'open' and (\(stage?.rawValue)::text is null or stage = \(stage?.rawValue))
            """
        ).first
        return try row?.get("n") ?? 0
    }
}

/// Deaths of workers with an event open.
public enum Attempts {
    /// Deaths in a row after which an event or a job becomes a dead letter (`killed-worker`).
    public static let deathsMax = 20

    /// Puts one more try of the event on record, committed before the event is handled; returns the tries so far,
    /// this one included. It counts as a death unless ``forget(_:for:in:)`` follows.
    public static func begin(_ key: InboxKey, for stage: StageName, in database: Database) async throws -> Int {
        let row = try await database.query(
            """
            insert into ledger.attempt (stage, event_key, deaths) values (\(stage.rawValue), \(key.key), 1)
            on conflict (stage, event_key) do update set deaths = ledger.attempt.deaths + 1
            returning deaths
            """
        ).first
        return try row?.get("deaths") ?? 1
    }

    /// The events with a try of `stage` on record that was not settled: few, for only what a worker may have died of has one.
    public static func open(for stage: StageName, in database: Database) async throws -> Set<UUID> {
        let rows = try await database.query("select event_key from ledger.attempt where stage = \(stage.rawValue)")
        return Set(try rows.map { try $0.get("event_key", as: UUID.self) })
    }

    /// The event was settled: its record of tries goes, in the same transaction.
    public static func forget(_ key: InboxKey, for stage: StageName, in transaction: Transaction) async throws {
        try await transaction.execute(
            "delete from ledger.attempt where stage = \(stage.rawValue) and event_key = \(key.key)")
    }
}
