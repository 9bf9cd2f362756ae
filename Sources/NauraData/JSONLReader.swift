/// Reads JSON lines: one object a line, to the same rows as ``CSVReader``.
///
/// The columns are the keys of all objects, in the order in which they first appear; a key that an object lacks is an
/// empty field, as `null` is. Nested values are kept as JSON text. The file is read twice: first for the columns.
public final class JSONLReader: RecordReader {
    public private(set) var columns: [String] = []
    private var names: [[UInt8]] = []
    private var places: [[UInt8]: Int] = [:]
    private var source: ByteReader
    private var line = 0
    private var rows: Int64 = 0
    private var buffer: [UInt8] = []
    private var members = JSONMembers()
    private var placesOfMembers: [Int] = []
    private var memberOfColumn: [Int] = []

    /// Opens the file at `path` and reads it once for its columns.
    ///
    /// - Throws: ``DataFault``, for every line that is no object.
    public init(path: String) throws(DataFault) {
        source = try ByteReader(path: path)
        try source.takeByteOrderMark()
        while try readLine() {}
        guard !columns.isEmpty else { throw DataFault(.empty, "the file holds no object with a key") }
        source = try ByteReader(path: path)
        try source.takeByteOrderMark()
        line = 0
    }

    public func next(into record: inout Record) throws(DataFault) -> Bool {
        guard try readLine() else { return false }
        rows += 1
        record.clear(line: line)
        record.number = rows
        for index in memberOfColumn.indices { memberOfColumn[index] = -1 }
        for (member, place) in placesOfMembers.enumerated() { memberOfColumn[place] = member }
        for member in memberOfColumn {
            if member >= 0 { record.bytes.append(contentsOf: members.text[members.values[member]]) }
            record.endField()
        }
        return true
    }

    /// Reads the next line that is not blank into `members` and finds its columns; false at the end of the file.
    private func readLine() throws(DataFault) -> Bool {
        while true {
            buffer.removeAll(keepingCapacity: true)
            var isEnded = false
            while !isEnded, try source.hasByte() {
                let start = source.position
                var index = start
                while index < source.limit, source.bytes[index] != 0x0A { index += 1 }
                buffer.append(contentsOf: UnsafeBufferPointer(start: source.bytes + start, count: index - start))
                isEnded = index < source.limit
                source.position = isEnded ? index + 1 : index
            }
            if buffer.isEmpty, !isEnded { return false }
            line += 1
            if buffer.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            try takeApart(isEnded: isEnded)
            return true
        }
    }

    private func takeApart(isEnded: Bool) throws(DataFault) {
        if let fault = buffer.withUnsafeBufferPointer({ UTF8Check.fault(in: $0) }) {
            throw DataFault(.encoding, "\(fault); Naura reads UTF-8 text", line: line)
        }
        do {
            try buffer.withUnsafeBufferPointer { (bytes) throws(JSONMembers.Fault) in try members.read(bytes) }
        } catch {
            if !isEnded {
                throw DataFault(.cutOff, "the file ends inside its last object: \(error.message)", line: line)
            }
            throw DataFault(.malformed, "no JSON object: \(error.message) at byte \(error.position)", line: line)
        }
        if members.text.contains(0) { throw DataFault(.encoding, "a zero character in text", line: line) }
        placesOfMembers.removeAll(keepingCapacity: true)
        for member in 0..<members.count {
            let place = try column(of: members.keys[member], member)
            if placesOfMembers.contains(place) {
                throw DataFault(.duplicateColumn, "key '\(columns[place])' stands twice in one object", line: line)
            }
            placesOfMembers.append(place)
        }
    }

    /// The column of a key; a new key makes a new column.
    private func column(of key: Range<Int>, _ member: Int) throws(DataFault) -> Int {
        // Objects mostly repeat the same keys in the same order.
        let name = members.text[key]
        if member < names.count, names[member].elementsEqual(name) { return member }
        let bytes = Array(name)
        if let place = places[bytes] { return place }
        let place = names.count
        names.append(bytes)
        places[bytes] = place
        columns.append(String(decoding: bytes, as: UTF8.self))
        memberOfColumn.append(-1)
        return place
    }
}
