import Crypto
import Foundation

extension EventID {
    /// The id of an event that `stage` says about `about`: the first 32 hex digits of the SHA-256 over the four parts,
    /// each after its length in bytes as eight bytes, the greatest first.
    ///
    /// `about` is the cause's id for an answer to one event, else the key of the job, window, slot or rollout step.
    /// Repeating the work gives the same id, and one cause that concerns two subjects gives two.
    public static func derived(stage: StageName, type: EventType, subject: String, about: String) -> EventID {
        var hash = SHA256()
        for part in [stage.rawValue, type.rawValue, subject, about] { hash.update(lengthPrefixed: part) }
        return hash.finalize().withUnsafeBytes { EventID($0.prefix(16).hexDigits) }
    }

    /// An id that no other event has, for what people and programs publish without naming it: 32 hex digits.
    public static func random() -> EventID {
        withUnsafeBytes(of: UUID().uuid) { EventID($0[...].hexDigits) }
    }
}

extension Slice<UnsafeRawBufferPointer> {
    /// Two lower-case hex digits a byte.
    var hexDigits: String {
        String(unsafeUninitializedCapacity: count * 2) { text in
            for (index, byte) in enumerated() {
                text[index * 2] = hexDigit(byte >> 4)
                text[index * 2 + 1] = hexDigit(byte & 15)
            }
            return count * 2
        }
    }

    private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}

extension SHA256 {
    /// Adds `part` behind its length, so that ("ab", "c") and ("a", "bc") differ.
    mutating func update(lengthPrefixed part: String) {
        var part = part
        part.withUTF8 { bytes in
            withUnsafeBytes(of: UInt64(bytes.count).bigEndian) { update(bufferPointer: $0) }
            update(bufferPointer: UnsafeRawBufferPointer(bytes))
        }
    }
}
