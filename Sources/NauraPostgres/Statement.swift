/// A statement in the form in which libpq takes it: text, type OIDs and the values' binary forms in one buffer.
struct Statement {
    let sql: String
    private(set) var types: [UInt32] = []
    private(set) var bytes: [UInt8] = []
    /// Each value's place in `bytes`; nil for a null.
    private(set) var places: [Range<Int>?] = []
    /// Whether the server keeps the statement's plan under a name. Off for texts that are used once.
    let isPrepared: Bool

    /// A statement without values.
    init(_ sql: String, isPrepared: Bool = true) {
        self.sql = sql
        self.isPrepared = isPrepared
    }

    init(_ query: Query, isPrepared: Bool = true) {
        self.init(query.sql, isPrepared: isPrepared)
        bytes.reserveCapacity(query.size)
        for value in query.binds {
            types.append(value.type.oid)
            append(isNull: value.isNull) { value.write(to: &$0) }
        }
    }

    /// The one insert for the rows `rows` of `queue`, which all have the same text and types.
    init(gathered sql: String, rows: [Int], of queue: [Query]) {
        self.init(sql)
        for column in queue[rows[0]].binds.indices {
            let type = queue[rows[0]].binds[column].type
            let element = InsertTemplate.element(of: type)
            types.append(element.arrayOID)
            append(isNull: false) { bytes in
                PostgresValue.writeArray(of: element, count: rows.count, to: &bytes) { row in
                    let value = queue[rows[row]].binds[column]
                    if case .array = value { return .text(value.arrayLiteral) }
                    return value
                }
            }
        }
    }

    private mutating func append(isNull: Bool, _ write: (inout [UInt8]) -> Void) {
        let start = bytes.count
        write(&bytes)
        places.append(isNull ? nil : start..<bytes.count)
    }

    /// Calls `body` with the arrays that `PQsendQueryPrepared` and `PQsendQueryParams` want.
    func withParameters<R>(
        _ body: (
            _ types: [UInt32], _ values: [UnsafePointer<CChar>?], _ lengths: [Int32], _ formats: [Int32]
        ) -> R
    ) -> R {
        let formats = [Int32](repeating: 1, count: places.count)
        let lengths = places.map { Int32($0?.count ?? 0) }
        return bytes.withUnsafeBytes { buffer in
            // An empty value still needs an address, else libpq takes it for a null; it reads no byte of it.
            let empty = UnsafeRawPointer(bitPattern: 1)!
            let base = buffer.baseAddress ?? empty
            let values = places.map { place in
                place.map { (base + $0.lowerBound).assumingMemoryBound(to: CChar.self) }
            }
            return body(types, values.map { $0.map { UnsafePointer($0) } }, lengths, formats)
        }
    }
}
