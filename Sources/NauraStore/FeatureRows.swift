public import NauraPostgres

/// The features of one entity at one moment, as one row of a data file gave them.
public struct FeatureRow: Sendable, Equatable {
    /// Who the row is about.
    public let entityKey: String
    /// When the values became true, in microseconds since 1970.
    public let event: Int64
    /// When they became known, in microseconds since 1970.
    public let created: Int64
    /// The row's number within its snapshot, from 1.
    public let rowNumber: Int64
    /// The view's numbers, in the order of its features.
    public let numbers: [Double?]
    /// The view's texts, in the order of its features.
    public let texts: [String?]

    public init(
        entityKey: String, event: Int64, created: Int64, rowNumber: Int64, numbers: [Double?], texts: [String?]
    ) {
        self.entityKey = entityKey
        self.event = event
        self.created = created
        self.rowNumber = rowNumber
        self.numbers = numbers
        self.texts = texts
    }
}

/// Feature rows. Those of a snapshot are invisible until ``FeatureViews/reveal(_:_:rows:statistics:asOf:in:)``.
public enum FeatureRows {
    /// Appends rows of snapshot `number` to `view`.
    public static func write(
        _ rows: [FeatureRow], view: CurrentView, _ number: Int64, in transaction: Transaction
    ) async throws {
        try await transaction.copy(
            into: "naura.feature_row",
            columns: [
                "view_id", "entity_key", "event_at", "created_at", "number", "row_number", "numbers", "texts",
            ],
            rows: rows.lazy.map { row in
                [
                    .int4(view.id), .text(row.entityKey), .moment(row.event), .moment(row.created), .int8(number),
                    .int8(row.rowNumber),
                    .array(.float8, row.numbers.map { $0.map(PostgresValue.float8) ?? .null(.scalar(.float8)) }),
                    .array(.text, row.texts.map { $0.map(PostgresValue.text) ?? .null(.scalar(.text)) }),
                ]
            })
    }

    /// Removes what an interrupted attempt wrote of a snapshot that `view` does not hold yet.
    public static func clear(_ view: CurrentView, _ number: Int64, in transaction: Transaction) async throws {
        try await transaction.execute(
            """
            delete from naura.feature_row f where f.view_id = \(view.id) and f.number = \(number)
            and not exists (select 1 from naura.view_snapshot s where s.view_id = f.view_id and s.number = f.number)
            """)
    }
}

/// The newest row of each entity.
public enum OnlineRows {
    /// Gives the entities of rows `from` … `to` of snapshot `number` their newest row, where it is newer than the one
    /// they have: greater by (event, created, number, row). May be repeated.
    public static func refresh(
        _ view: CurrentView, _ number: Int64, rows: ClosedRange<Int64>, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.online_row as old
                (view_id, entity_key, event_at, created_at, number, row_number, numbers, texts)
            select distinct on (entity_key)
                view_id, entity_key, event_at, created_at, number, row_number, numbers, texts
            from naura.feature_row
            where view_id = \(view.id) and number = \(number)
            and row_number between \(rows.lowerBound) and \(rows.upperBound)
            order by entity_key, event_at desc, created_at desc, row_number desc
            on conflict (view_id, entity_key) do update set
                event_at = excluded.event_at, created_at = excluded.created_at, number = excluded.number,
                row_number = excluded.row_number, numbers = excluded.numbers, texts = excluded.texts
            where (excluded.event_at, excluded.created_at, excluded.number, excluded.row_number)
                > (old.event_at, old.created_at, old.number, old.row_number)
            """)
    }
}

extension PostgresValue {
    /// A moment in microseconds since 1970, exactly.
    static func moment(_ microseconds: Int64) -> PostgresValue {
        // PostgreSQL counts from 2000-01-01.
        .timestamptz(microseconds - 946_684_800_000_000)
    }
}
