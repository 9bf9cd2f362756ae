/// Turns queued statements into those that are sent.
///
/// A row joins the gathered statement of its kind unless something that might depend on the order stands between: any
/// statement that is no gatherable insert, or another statement that inserts into the same table. Inserts into
/// *different* tables may thus pass each other. Where that, or the gathering itself, makes the server refuse what
/// single statements in their order would not (a foreign key whose target came later, a conflict clause that meets its
/// own row), the connection rolls back to a savepoint and sends the same queue in order, one by one.
struct Gathering {
    /// What is sent in one go.
    enum Group {
        case single(Int)
        case gathered(sql: String, rows: [Int])
    }

    private(set) var groups: [Group] = []
    /// Whether anything was gathered, so that the order or the unit of a failure may differ from single statements.
    private(set) var isGathered = false

    /// Longer groups are split: one statement's arrays should stay within a few megabytes.
    static let rowsMax = 5_000
    static let bytesMax = 8 << 20

    private struct Open {
        let template: InsertTemplate
        let types: [PostgresType]
        var rows: [Int]
        var bytes: Int
    }
    /// A gathered group's place in `groups`, until it is closed.
    private var open: [Int: Open] = [:]
    private var groupOfStatement: [String: Int] = [:]
    private var lastGroupOfTable: [String: Int] = [:]
    /// The group of the statement before.
    private var latest: Int?

    init(_ queue: [Query], templates: inout InsertTemplates) {
        for (index, query) in queue.enumerated() {
            // Mostly the text is the one before, and comparing costs less than looking it up twice.
            if index > 0, query.hasText(of: queue[index - 1]), let at = latest, join(index, query, group: at) {
                continue
            }
            guard let template = templates.template(of: query.sql) else {
                closeAll()
                groups.append(.single(index))
                continue
            }
            add(index, query, template)
        }
        closeAll()
    }

    private mutating func add(_ index: Int, _ query: Query, _ template: InsertTemplate) {
        if let at = groupOfStatement[query.sql], lastGroupOfTable[template.table] == at, join(index, query, group: at) {
            latest = at
            return
        }
        let at = groups.count
        groups.append(.single(index))
        open[at] = Open(template: template, types: query.binds.map(\.type), rows: [index], bytes: query.size)
        groupOfStatement[query.sql] = at
        lastGroupOfTable[template.table] = at
        latest = at
    }

    /// Adds a row to an open group; false when it does not fit.
    private mutating func join(_ index: Int, _ query: Query, group at: Int) -> Bool {
        guard let place = open.index(forKey: at) else { return false }
        let size = query.size
        guard open.values[place].rows.count < Self.rowsMax, open.values[place].bytes + size < Self.bytesMax,
            Self.haveTypes(query, open.values[place].types)
        else { return false }
        // In place: a copy of the group would have its list copied at every row.
        open.values[place].rows.append(index)
        open.values[place].bytes += size
        return true
    }

    private static func haveTypes(_ query: Query, _ types: [PostgresType]) -> Bool {
        guard query.binds.count == types.count else { return false }
        for index in types.indices where query.binds[index].type != types[index] { return false }
        return true
    }

    private mutating func closeAll() {
        for (at, group) in open where group.rows.count > 1 {
            groups[at] = .gathered(sql: group.template.gathered(types: group.types), rows: group.rows)
            isGathered = true
        }
        latest = nil
        open.removeAll(keepingCapacity: true)
        groupOfStatement.removeAll(keepingCapacity: true)
        lastGroupOfTable.removeAll(keepingCapacity: true)
    }
}

/// The templates of statements seen before; nil for those that cannot be gathered.
struct InsertTemplates {
    private var known: [String: InsertTemplate?] = [:]

    mutating func template(of sql: String) -> InsertTemplate? {
        if let found = known[sql] { return found }
        // Texts are finite, for names are never interpolated; the limit guards against a caller that makes them up.
        if known.count > 2_000 { known.removeAll() }
        let made = InsertTemplate(sql)
        known[sql] = .some(made)
        return made
    }
}
