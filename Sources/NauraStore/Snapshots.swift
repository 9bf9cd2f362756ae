public import Foundation
public import NauraPostgres

/// One file of a dataset, from its arrival on.
public struct Snapshot: Sendable, Equatable {
    /// How far a snapshot has come.
    public enum State: String, Sendable {
        /// Announced; nobody has looked at its bytes yet.
        case arrived
        /// Its bytes are in the artifact store and obey the contract.
        case validated
        /// It cannot be read, or breaks the contract.
        case rejected
        /// Its bytes are those of an earlier snapshot: nothing to do.
        case duplicate
        /// Its feature rows can be read.
        case ready
        /// It could not be handled for a reason of Naura's own.
        case failed
    }

    /// The dataset's name.
    public let dataset: String
    /// From 1, in the order of arrival within the dataset.
    public let number: Int64
    /// Where the bytes were announced to lie.
    public let uri: String
    /// `csv`, `jsonl` or `parquet`.
    public let format: String
    /// What the event says the bytes' SHA-256 is.
    public let expectedSHA256: String?
    /// The bytes' SHA-256; nil until they have been fetched.
    public let sha256: String?
    /// How far it has come.
    public let state: State
    /// The moment of its event, or a microsecond after the snapshot before it: numbers and moments have one order.
    public let arrivedAt: Date
    /// Whether a backfill brought it in.
    public let isBackfill: Bool
}

/// Where a new snapshot comes from.
public struct SnapshotArrival: Sendable {
    /// The dataset's name.
    public let dataset: String
    /// Where the bytes lie.
    public let uri: String
    /// `csv`, `jsonl` or `parquet`.
    public let format: String
    /// What the event says the bytes' SHA-256 is.
    public let expectedSHA256: String?
    /// The time that the data speaks of, if the event says so.
    public let window: (from: Date, to: Date)?
    /// The event that announces the file.
    public let eventID: String
    /// The first event of its chain.
    public let rootID: String
    /// The event's own time.
    public let time: Date
    /// Whether a backfill brings it in.
    public let isBackfill: Bool

    public init(
        dataset: String, uri: String, format: String, expectedSHA256: String?, window: (from: Date, to: Date)?,
        eventID: String, rootID: String, time: Date, isBackfill: Bool = false
    ) {
        self.dataset = dataset
        self.uri = uri
        self.format = format
        self.expectedSHA256 = expectedSHA256
        self.window = window
        self.eventID = eventID
        self.rootID = rootID
        self.time = time
        self.isBackfill = isBackfill
    }
}

/// What was found in a snapshot's bytes.
public struct SnapshotContent: Sendable {
    /// The SHA-256 of the bytes.
    public let sha256: String
    /// How many there are; nil when nobody says.
    public let bytes: Int64?
    /// Nil when they could not be counted.
    public let rows: Int64?
    /// JSON of the profile.
    public let profile: String?
    /// The least and greatest event time, where a column holds it.
    public let window: (from: Date, to: Date)?

    public init(sha256: String, bytes: Int64?, rows: Int64?, profile: String?, window: (from: Date, to: Date)?) {
        self.sha256 = sha256
        self.bytes = bytes
        self.rows = rows
        self.profile = profile
        self.window = window
    }
}

/// The snapshots of all datasets.
public enum Snapshots {
    /// Numbers and files a snapshot; an event that is filed already keeps its number.
    ///
    /// - Returns: its number; nil when no such dataset is defined, or it is retired.
    public static func file(_ arrival: SnapshotArrival, in transaction: Transaction) async throws -> Int64? {
        try await transaction.first(
            """
            with known as (
                select number from naura.snapshot
                where dataset = \(arrival.dataset) and event_id = \(arrival.eventID)
            ), numbered as (
                update naura.dataset set next_number = next_number + 1,
                    last_arrival_at = greatest(\(arrival.time), last_arrival_at + interval '1 microsecond')
                where name = \(arrival.dataset) and not is_retired and not exists (select 1 from known)
                returning name, next_number - 1 as number, last_arrival_at
            ), filed as (
                insert into naura.snapshot (dataset, number, uri, format, expected_sha256, window_from, window_to,
                    event_id, root_id, arrived_at, is_backfill)
                select name, number, \(arrival.uri), \(arrival.format), \(arrival.expectedSHA256),
                    \(arrival.window?.from), \(arrival.window?.to), \(arrival.eventID), \(arrival.rootID),
                    last_arrival_at, \(arrival.isBackfill)
                from numbered returning number
            )
            select number from filed union all select number from known
            """)?.get("number")
    }

    /// Snapshot `number` of `dataset`.
    /// - Throws: ``StoreError`` `missing`.
    public static func find(_ dataset: String, _ number: Int64, in transaction: Transaction) async throws -> Snapshot {
        guard let known = try await known(dataset, number, in: transaction) else {
            throw StoreError(.missing, "dataset \(dataset) has no snapshot \(number)")
        }
        return known
    }

    /// Snapshot `number` of `dataset`; nil when there is none.
    public static func known(
        _ dataset: String, _ number: Int64, in transaction: Transaction
    ) async throws -> Snapshot? {
        let row = try await transaction.first(
            """
            select dataset, number, uri, format, expected_sha256, sha256, state, arrived_at, is_backfill
            from naura.snapshot where dataset = \(dataset) and number = \(number)
            """)
        guard let row else { return nil }
        return Snapshot(
            dataset: try row.get("dataset"), number: try row.get("number"), uri: try row.get("uri"),
            format: try row.get("format"), expectedSHA256: try row.get("expected_sha256"),
            sha256: try row.get("sha256"), state: try row.get("state"), arrivedAt: try row.get("arrived_at"),
            isBackfill: try row.get("is_backfill"))
    }

    /// The first snapshot of `dataset` that holds the bytes `sha256` and was let in; nil when there is none.
    public static func holder(
        of sha256: String, in dataset: String, _ transaction: Transaction
    ) async throws -> Int64? {
        try await transaction.first(
            """
            select number from naura.snapshot
            where dataset = \(dataset) and sha256 = \(sha256) and state in ('validated', 'ready')
            order by number limit 1
            """)?.get("number")
    }

    /// The latest event time that snapshots of `dataset` before `number` hold or announce; nil when none says.
    public static func latestMoment(
        of dataset: String, before number: Int64, in transaction: Transaction
    ) async throws -> Date? {
        try await transaction.first(
            """
            select max(window_to) as latest from naura.snapshot
            where dataset = \(dataset) and number < \(number) and state in ('validated', 'ready')
            """)?.get("latest")
    }

    /// Notes that the snapshot obeys its contract. False when it was settled before.
    public static func validate(
        _ snapshot: Snapshot, _ content: SnapshotContent, in transaction: Transaction
    ) async throws -> Bool {
        try await settle(snapshot, as: .validated, content, violations: nil, in: transaction)
    }

    /// Notes that the snapshot was refused, with `violations` as JSON. False when it was settled before.
    public static func reject(
        _ snapshot: Snapshot, _ content: SnapshotContent?, violations: String, in transaction: Transaction
    ) async throws -> Bool {
        try await settle(snapshot, as: .rejected, content, violations: violations, in: transaction)
    }

    /// Notes that the snapshot cannot be handled, for a reason that lies not in its bytes; `violations` as JSON says which.
    /// - Returns: false when it was settled before; one that is ready stays ready.
    public static func fail(
        _ dataset: String, _ number: Int64, violations: String, in transaction: Transaction
    ) async throws -> Bool {
        try await transaction.update(
            """
            update naura.snapshot set state = 'failed', violations = \(jsonText: violations), settled_at = now()
            where dataset = \(dataset) and number = \(number) and state in ('arrived', 'validated')
            """) == 1
    }

    /// Notes that the snapshot's bytes came before. False when it was settled before.
    public static func repeated(
        _ snapshot: Snapshot, _ content: SnapshotContent, in transaction: Transaction
    ) async throws -> Bool {
        try await settle(snapshot, as: .duplicate, content, violations: nil, in: transaction)
    }

    /// Keeps every project from being applied until the transaction ends.
    public static func lockDataset(of snapshot: Snapshot, in transaction: Transaction) async throws {
        _ = try await Datasets.lock(snapshot.dataset, in: transaction)
    }

    /// Makes the rows of a snapshot that was let in readable. A ready one stays ready.
    public static func makeReady(_ snapshot: Snapshot, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            update naura.snapshot set state = 'ready', settled_at = now()
            where dataset = \(snapshot.dataset) and number = \(snapshot.number) and state in ('validated', 'failed')
            """)
    }

    private static func settle(
        _ snapshot: Snapshot, as state: Snapshot.State, _ content: SnapshotContent?, violations: String?,
        in transaction: Transaction
    ) async throws -> Bool {
        try await transaction.update(
            """
            update naura.snapshot set state = \(state), sha256 = \(content?.sha256), rows = \(content?.rows),
                bytes = \(content?.bytes), profile = \(jsonText: content?.profile),
                violations = \(jsonText: violations), settled_at = now(),
                window_from = coalesce(\(content?.window?.from), window_from),
                window_to = coalesce(\(content?.window?.to), window_to)
            where dataset = \(snapshot.dataset) and number = \(snapshot.number) and state in ('arrived', 'failed')
            """) == 1
    }
}
