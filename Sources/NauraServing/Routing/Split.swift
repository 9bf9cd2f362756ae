import Crypto

/// Which units of a rollout meet the canary.
///
/// A unit's place is u = SHA-256(salt ‖ unit) / 2^256, salt and unit as UTF-8; it meets the canary when u < weight.
/// The salt is fixed for a rollout, so a unit keeps its place over restarts and gateways, and a rising weight keeps in
/// whoever was in. The top 64 bits of the hash are compared with weight · 2^64, exactly: a weight has 53 significant
/// bits, so the bound is a whole number for every weight of 2^-12 or more, and is rounded up below that.
public struct Split: Sendable {
    /// The first eight bytes of a unit's hash, big-endian: its place, and its name in a serving window.
    public struct Place: Hashable, Sendable {
        /// u · 2^64, rounded down.
        public let value: UInt64

        /// A place known from elsewhere.
        public init(value: UInt64) { self.value = value }

        /// 16 lower-case hex digits.
        public var hex: String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
    }

    private let salted: SHA256
    /// Places below this meet the canary; nil for all.
    private let bound: UInt64?

    /// The split of a rollout with `salt`, at the canary's `weight`: 0 for nobody, 1 for everybody.
    public init(salt: String, weight: Double) {
        var salted = SHA256()
        salted.update(data: Array(salt.utf8))
        self.salted = salted
        let scaled = (max(weight, 0) * 0x1p64).rounded(.up)
        bound = scaled < 0x1p64 ? UInt64(scaled) : nil
    }

    /// Where `unit` stands.
    public func place(of unit: String) -> Place {
        var unit = unit
        return unit.withUTF8 { bytes in
            var hash = salted
            hash.update(bufferPointer: UnsafeRawBufferPointer(bytes))
            return hash.finalize().withUnsafeBytes { digest in
                Place(value: UInt64(bigEndian: digest.loadUnaligned(as: UInt64.self)))
            }
        }
    }

    /// Whether the unit at `place` meets the canary.
    public func isCanary(_ place: Place) -> Bool {
        guard let bound else { return true }
        return place.value < bound
    }
}
