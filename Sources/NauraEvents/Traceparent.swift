/// W3C trace context, version 00: which trace and which span of it something belongs to.
///
/// Ids follow from what they name: a repetition says the same, and the kernel is not asked for random bytes, which
/// cost a fifth of a worker's time at full speed.
public enum Traceparent {
    /// The span that `span` names, in `parent`'s trace; where there is none or it is malformed, in the trace of `root`.
    public static func child(of parent: String?, root: EventID, span: String) -> String {
        var text: [UInt8] = Array("00-".utf8)
        text.reserveCapacity(55)
        if let parent, isTraced(parent) {
            text += parent.utf8.dropFirst(3).prefix(32)
        } else {
            appendHex(hash(root.rawValue, 0xcbf2_9ce4_8422_2325), to: &text)
            appendHex(hash(root.rawValue, 0x9ae1_6a3b_2f90_404f), to: &text)
        }
        text.append(UInt8(ascii: "-"))
        appendHex(hash(span, 0xcbf2_9ce4_8422_2325), to: &text)
        text += "-01".utf8
        return String(decoding: text, as: UTF8.self)
    }

    /// The span under which the event `id` of `type` is published.
    public static func published(_ type: EventType, _ id: EventID, parent: String?, root: EventID) -> String {
        child(of: parent, root: root, span: type.rawValue + " " + id.rawValue)
    }

    /// Whether a trace can be read off `text`: 55 bytes that begin like version 00. Cheap, for every event is asked.
    private static func isTraced(_ text: String) -> Bool { text.utf8.count == 55 && text.hasPrefix("00-") }

    /// Whether `text` is what the standard calls valid: lower-case hex in four parts, no id all zeros.
    ///
    /// What comes from outside is asked this once, where it comes in.
    public static func isValid(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, parts.map(\.utf8.count) == [2, 32, 16, 2], parts[0] == "00" else { return false }
        let isHex = parts.allSatisfy { part in
            part.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
        }
        return isHex && parts[1].contains { $0 != "0" } && parts[2].contains { $0 != "0" }
    }

    /// The trace's id and the span's, 32 and 16 hex digits; nil for what is none.
    public static func ids(of text: String) -> (trace: Substring, span: Substring)? {
        guard isTraced(text) else { return nil }
        return (text.dropFirst(3).prefix(32), text.dropFirst(36).prefix(16))
    }

    /// FNV-1a over UTF-8, never 0, which the standard calls invalid.
    private static func hash(_ text: String, _ start: UInt64) -> UInt64 {
        var hash = start
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return max(hash, 1)
    }

    private static func appendHex(_ number: UInt64, to text: inout [UInt8]) {
        for shift in stride(from: 60, through: 0, by: -4) { text.append(digits[Int((number >> UInt64(shift)) & 15)]) }
    }
    private static let digits = Array("0123456789abcdef".utf8)
}
