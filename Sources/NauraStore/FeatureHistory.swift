public import NauraPostgres
public import NauraRules

/// Labels and feature rows as a training reads them: what was visible at the read point, joined at each label's moment
/// in known-by mode.
///
/// Memory holds one chunk of labels and one entity's feature rows, whatever the size of the set.
public struct FeatureHistory: Sendable {
    private static let chunkMax = 4_000
    private let database: Database

    /// The history in `database`, read in transactions of its own.
    public init(_ database: Database) {
        self.database = database
    }

    /// Calls `body` with each labelled moment and its features, sorted by key (in byte order) and moment.
    ///
    /// Of several labels for one key and moment the newest counts: a correction. Features stand in the order of the views
    /// and of their definitions; those of a view without an answer are null.
    public func forEachRow(
        of request: FrozenRequest, _ body: (LabelledMoment, [CellValue]) async throws -> Void
    ) async throws {
        try await database.transaction { transaction in
            var chunk: [LabelledMoment] = []
            try await Self.forEachLabel(of: request, in: transaction) { label in
                if chunk.count >= Self.chunkMax, let last = chunk.last, last.key != label.key {
                    try await Self.deliver(chunk, of: request, in: transaction, body)
                    chunk.removeAll(keepingCapacity: true)
                }
                chunk.append(label)
            }
            try await Self.deliver(chunk, of: request, in: transaction, body)
        }
    }

    /// The features of `views` at each of `moments`, which are sorted by key and moment, as visible at `readPoints`.
    public func features(
        at moments: [LabelledMoment], views: [FrozenView], readPoints: [String: Int64]
    ) async throws -> [[CellValue]] {
        var rows: [[CellValue]] = []
        rows.reserveCapacity(moments.count)
        var start = 0
        while start < moments.count {
            var end = min(start + Self.chunkMax, moments.count)
            while end < moments.count, moments[end].key == moments[end - 1].key { end += 1 }
            let chunk = Array(moments[start..<end])
            rows += try await database.transaction { transaction in
                try await Self.join(chunk, views: views, readPoints: readPoints, in: transaction)
            }
            start = end
        }
        return rows
    }

    // MARK: Reading

    private static func forEachLabel(
        of request: FrozenRequest, in transaction: Transaction, _ body: (LabelledMoment) async throws -> Void
    ) async throws {
        let label = request.model.label
        try await transaction.forEach(
            """
            select distinct on (l.entity_key, l.event_at) l.entity_key,
                (extract(epoch from l.event_at) * 1000000)::bigint as moment, l.label
            from naura.label_row l
            join naura.snapshot s on s.dataset = l.dataset and s.number = l.number and s.state = 'ready'
            where l.dataset = \(label.dataset) and l.column_name = \(label.column)
            and l.number <= \(request.readPoints[label.dataset] ?? 0)
            order by l.entity_key, l.event_at, l.created_at desc, l.number desc, l.row_number desc
            """
        ) { row in
            try await body(
                LabelledMoment(
                    key: try row.get("entity_key"), moment: try row.get("moment"), label: try row.get("label")))
        }
    }

    private static func deliver(
        _ labels: [LabelledMoment], of request: FrozenRequest, in transaction: Transaction,
        _ body: (LabelledMoment, [CellValue]) async throws -> Void
    ) async throws {
        let rows = try await join(labels, views: request.views, readPoints: request.readPoints, in: transaction)
        for (label, row) in zip(labels, rows) { try await body(label, row) }
    }

    private static func join(
        _ labels: [LabelledMoment], views: [FrozenView], readPoints: [String: Int64], in transaction: Transaction
    ) async throws -> [[CellValue]] {
        var joined = [[CellValue]](repeating: [], count: labels.count)
        for view in views {
            let definition = view.definition
            let answers = try await answers(
                to: labels, view: view, readPoint: readPoints[definition.dataset] ?? 0, in: transaction)
            let nothing = [CellValue](repeating: .null, count: definition.features.count)
            for index in labels.indices { joined[index] += answers[index] ?? nothing }
        }
        return joined
    }

    /// The row of `view` that answers each label, by the label's index.
    private static func answers(
        to labels: [LabelledMoment], view: FrozenView, readPoint: Int64, in transaction: Transaction
    ) async throws -> [Int: [CellValue]] {
        let rule = PointInTimeJoin(ttlSeconds: view.definition.ttlSeconds)
        var answers: [Int: [CellValue]] = [:]
        var next = 0
        var loaded: (key: String, moments: [FeatureMoment], rows: [[CellValue]]) = ("", [], [])
        /// Answers the labels of the entity whose rows are loaded; labels of entities without rows are passed over.
        func settle() {
            while next < labels.count, labels[next].key.utf8.lexicographicallyPrecedes(loaded.key.utf8) { next += 1 }
            let start = next
            while next < labels.count, labels[next].key == loaded.key { next += 1 }
            let moments = labels[start..<next].map(\.moment)
            for (offset, answer) in rule.answers(at: moments, among: loaded.moments).enumerated() {
                if let answer { answers[start + offset] = loaded.rows[answer] }
            }
        }
        var keys = labels.map(\.key)
        keys = keys.indices.filter { $0 == 0 || keys[$0] != keys[$0 - 1] }.map { keys[$0] }
        try await transaction.forEach(rows(of: view, keys: keys, readPoint: readPoint)) { row in
            let key = try row.get("entity_key", as: String.self)
            if key != loaded.key {
                settle()
                loaded = (key, [], [])
            }
            loaded.moments.append(FeatureMoment(event: try row.get("event"), created: try row.get("created")))
            loaded.rows.append(try values(row, features: view.definition.features))
        }
        settle()
        return answers
    }

    private static func rows(of view: FrozenView, keys: [String], readPoint: Int64) -> Query {
        """
        select f.entity_key, (extract(epoch from f.event_at) * 1000000)::bigint as event,
            (extract(epoch from f.created_at) * 1000000)::bigint as created, f.numbers, f.texts
        from naura.feature_row f
        where f.view_id = \(view.id)::int and f.entity_key = any(\(keys)) and f.number <= \(readPoint)
        and exists (select 1 from naura.view_snapshot s where s.view_id = f.view_id and s.number = f.number)
        order by f.entity_key, f.event_at, f.created_at, f.number, f.row_number
        """
    }

    private static func values(_ row: Row, features: [FeatureDefinition]) throws -> [CellValue] {
        let numbers = try row.get("numbers", as: [Double?].self)
        let texts = try row.get("texts", as: [String?].self)
        var (number, text) = (0, 0)
        return features.map { feature in
            switch feature.type {
            case .number:
                defer { number += 1 }
                guard number < numbers.count, let value = numbers[number], value.isFinite else { return .null }
                return .number(value)
            case .text:
                defer { text += 1 }
                return text < texts.count ? texts[text].map(CellValue.text) ?? .null : .null
            }
        }
    }
}
