/// Which entities are kept away from training.
public enum Holdout {
    /// Where an entity's rows go.
    public enum Side: String, Codable, Sendable {
        /// Seen by the trainer.
        case training
        /// Scored by the gate, never seen by a trainer.
        case holdout
    }

    /// The side of `entityKey`: always the same for the same key, share and salt, on every machine.
    ///
    /// A larger share keeps every entity of a smaller one. `salt` names what the split is for (the model); other salts
    /// give independent splits, so that a validation part can be cut from the training entities.
    public static func side(entityKey: String, share: Double, salt: String) -> Side {
        position(entityKey: entityKey, salt: salt) < share ? .holdout : .training
    }

    /// The entity's place in [0, 1): FNV-1a (64 bits) over the UTF-8 bytes of salt, 0xFF (no byte of UTF-8) and key,
    /// finished by splitmix64's mixer, since FNV's high bits alone spread short keys badly; then the upper 53 bits.
    public static func position(entityKey: String, salt: String) -> Double {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        for byte in salt.utf8 { add(byte) }
        add(0xFF)
        for byte in entityKey.utf8 { add(byte) }
        return Double(SplitMix64.mix(hash) >> 11) * 0x1p-53
    }
}

/// A small, seeded source of random bits with a stated algorithm: the same numbers on every machine and in every
/// version of Swift. Source: Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, 2014.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A generator whose numbers follow from `seed` alone.
    public init(seed: UInt64) {
        state = seed
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return Self.mix(state)
    }

    /// The next number in [0, 1), a multiple of 2⁻⁵³.
    public mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// The next whole number in 0 ..< `bound` (at least 1), by multiply and shift; its bias is below 2⁻³² for bounds
    /// below 2³².
    public mutating func nextIndex(below bound: Int) -> Int {
        Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
