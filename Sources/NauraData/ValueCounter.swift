/// Counts the distinct values of a column: exactly up to ``distinctMax``, and then only "more than that".
///
/// The values themselves and their frequencies are kept while there are at most ``valuesMax`` of them. Values are told
/// apart by 64-bit hashes: among 10,000 values two share one with a chance of 3e-12.
struct ValueCounter {
    /// Where exact counting ends.
    static let distinctMax = 10_000
    /// How many different values are kept with their frequencies.
    static let valuesMax = 1_000
    /// Longer values are kept cut, for display.
    static let valueBytesMax = 100

    /// The distinct values seen, at most ``distinctMax``.
    private(set) var distinct = 0
    /// Whether there were more than ``distinctMax``.
    private(set) var isCapped = false
    /// Open addressing over hashes; 0 is a free place.
    private var hashes: [UInt64] = Array(repeating: 0, count: 64)
    private var slots: [UInt32] = Array(repeating: 0, count: 64)
    private var counts: [Int] = []
    private var values: [String] = []
    private var keepsValues = true

    /// Counts one value.
    mutating func count(_ bytes: UnsafeBufferPointer<UInt8>) {
        if isCapped { return }
        let hash = max(1, StableHash.of(bytes))
        var place = Int(truncatingIfNeeded: hash) & (hashes.count - 1)
        while hashes[place] != 0 {
            if hashes[place] == hash {
                if keepsValues { counts[Int(slots[place])] += 1 }
                return
            }
            place = (place + 1) & (hashes.count - 1)
        }
        if distinct == Self.distinctMax { return drop() }
        hashes[place] = hash
        slots[place] = UInt32(distinct)
        distinct += 1
        if keepsValues { keep(bytes) }
        if distinct * 2 > hashes.count { grow() }
    }

    private mutating func keep(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard distinct <= Self.valuesMax else {
            keepsValues = false
            counts = []
            values = []
            return
        }
        counts.append(1)
        values.append(String(decoding: bytes.prefix(Self.valueBytesMax), as: UTF8.self))
    }

    private mutating func drop() {
        isCapped = true
        keepsValues = false
        hashes = []
        slots = []
        counts = []
        values = []
    }

    private mutating func grow() {
        let oldHashes = hashes
        let oldSlots = slots
        hashes = Array(repeating: 0, count: oldHashes.count * 2)
        slots = Array(repeating: 0, count: oldHashes.count * 2)
        for (index, hash) in oldHashes.enumerated() where hash != 0 {
            var place = Int(truncatingIfNeeded: hash) & (hashes.count - 1)
            while hashes[place] != 0 { place = (place + 1) & (hashes.count - 1) }
            hashes[place] = hash
            slots[place] = oldSlots[index]
        }
    }

    /// All values, the most frequent first, then by their bytes; nil when there were more than ``valuesMax``.
    var frequencies: [ValueCount]? {
        guard keepsValues else { return nil }
        return zip(values, counts).map { ValueCount(value: $0, count: $1) }.sorted { left, right in
            if left.count != right.count { return left.count > right.count }
            return left.value.utf8.lexicographicallyPrecedes(right.value.utf8)
        }
    }
}

/// A hash of bytes that is the same on every machine and in every process.
enum StableHash {
    /// Eight bytes at a time, mixed by 128-bit multiplication as wyhash (Wang, 2019) does it. Not for secrets.
    static func of(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
        var index = 0
        let raw = UnsafeRawBufferPointer(bytes)
        while index + 8 <= raw.count {
            hash = mix(hash ^ UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
            index += 8
        }
        var tail: UInt64 = 0
        while index < raw.count {
            tail = tail << 8 | UInt64(raw[index])
            index += 1
        }
        return mix(mix(hash ^ tail) ^ 0xE703_7ED1_A0B4_28DB)
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let (high, low) = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0x8EBC_6AF0_9C88_C6E3)
        return high ^ low
    }
}
