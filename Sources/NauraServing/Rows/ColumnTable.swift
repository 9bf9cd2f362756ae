import NauraModels
import NauraRules

/// The columns that a row of a request may have, found by the bytes of their names.
///
/// Positions `0 ..< featureCount` are the model's features in their order. The unit column and the entity's key follow
/// when they are no features; features that only the other arm of a canary knows are known, and ignored.
struct ColumnTable: Sendable {
    /// What a name stands for.
    enum Column: Equatable {
        case position(Int)
        /// Known to the other arm of the route.
        case ignored
        case unknown
    }

    /// The model's features.
    let features: [ModelInput]
    /// Cells that a row needs: the features, and what follows them.
    let width: Int
    /// Where the unit column stands.
    let unitPosition: Int?
    /// Where the entity's key stands.
    let keyPosition: Int?

    /// `"name":` of each feature, escaped and after a comma where one belongs, and where each begins.
    private let recordNames: [UInt8]
    private let recordStarts: [Int]
    private let names: [UInt8]
    private let starts: [Int32]
    /// Positions by hash, open addressing; -1 is empty.
    private let slots: [Int16]
    private let mask: Int
    private let ignored: Set<String>

    /// A table of `features`, of the route's `unit` and `key` columns, and of the names the `other` arm takes.
    init(features: [ModelInput], unit: String?, key: String?, other: [String] = []) {
        self.features = features
        var all = features.map(\.name)
        unitPosition = unit.map { Self.position(of: $0, in: &all) }
        keyPosition = key.map { Self.position(of: $0, in: &all) }
        width = all.count
        var recordNames: [UInt8] = []
        var recordStarts = [0]
        for feature in features {
            if recordStarts.count > 1 { recordNames.append(0x2C) }
            recordNames.appendJSON(feature.name)
            recordNames.append(0x3A)
            recordStarts.append(recordNames.count)
        }
        (self.recordNames, self.recordStarts) = (recordNames, recordStarts)
        ignored = Set(other).subtracting(all)
        var names: [UInt8] = []
        var starts: [Int32] = [0]
        for name in all {
            names.append(contentsOf: name.utf8)
            starts.append(Int32(names.count))
        }
        var capacity = 16
        while capacity < all.count * 2 { capacity *= 2 }
        var slots = [Int16](repeating: -1, count: capacity)
        for (position, name) in all.enumerated() {
            var slot = Int(truncatingIfNeeded: Self.hash(name.utf8)) & (capacity - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (capacity - 1) }
            slots[slot] = Int16(position)
        }
        (self.names, self.starts, self.slots, self.mask) = (names, starts, slots, capacity - 1)
    }

    /// What the name in `text` stands for. `hint` is the position tried first: rows mostly keep one order.
    @inline(__always)
    func column(_ text: JSONReader.Text, in reader: JSONReader, hint: Int) -> Column {
        if text.isEscaped { return column(named: reader.string(text)) }
        let name = UnsafeBufferPointer(rebasing: reader.bytes[text.start..<text.end])
        if hint < width, matches(hint, name) { return .position(hint) }
        var slot = Int(truncatingIfNeeded: Self.hash(name)) & mask
        while slots[slot] >= 0 {
            let position = Int(slots[slot])
            if matches(position, name) { return .position(position) }
            slot = (slot + 1) & mask
        }
        return ignored.isEmpty || !ignored.contains(reader.string(text)) ? .unknown : .ignored
    }

    /// What `name` stands for.
    func column(named name: String) -> Column {
        var name = name
        return name.withUTF8 { bytes in
            var slot = Int(truncatingIfNeeded: Self.hash(bytes)) & mask
            while slots[slot] >= 0 {
                let position = Int(slots[slot])
                if matches(position, bytes) { return .position(position) }
                slot = (slot + 1) & mask
            }
            return ignored.contains(String(decoding: bytes, as: UTF8.self)) ? .ignored : .unknown
        }
    }

    /// The name of the column at `position`.
    func name(of position: Int) -> String {
        String(decoding: names[Int(starts[position])..<Int(starts[position + 1])], as: UTF8.self)
    }

    /// Appends the feature's name as a member of a record's features.
    @inline(__always)
    func appendRecordName(_ position: Int, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: recordNames[recordStarts[position]..<recordStarts[position + 1]])
    }

    @inline(__always)
    private func matches(_ position: Int, _ name: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = Int(starts[position])
        guard Int(starts[position + 1]) - start == name.count else { return false }
        for index in 0..<name.count where names[start + index] != name[index] { return false }
        return true
    }

    private static func position(of name: String, in all: inout [String]) -> Int {
        if let position = all.firstIndex(of: name) { return position }
        all.append(name)
        return all.count - 1
    }

    /// FNV-1a, 64 bits.
    @inline(__always)
    private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return hash
    }
}
