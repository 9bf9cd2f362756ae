/// What Foundation's parser lets through and Naura does not, found in one pass over the bytes.
enum BodyScan {
    /// Whether `body`, which Foundation has parsed, is JSON to the letter and free of U+0000.
    ///
    /// Foundation accepts a comma before a closing bracket, which other readers of the topic would stumble over.
    /// PostgreSQL's text and jsonb hold no U+0000.
    static func isStrict(_ body: [UInt8]) -> Bool {
        body.withUnsafeBufferPointer { bytes in
            var index = 0
            var afterComma = false
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "\""):
                    guard let end = endOfString(bytes, from: index + 1) else { return false }
                    index = end
                    afterComma = false
                case UInt8(ascii: ","): afterComma = true
                case UInt8(ascii: "]"), UInt8(ascii: "}"): if afterComma { return false }
                case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): break
                default: afterComma = false
                }
                index += 1
            }
            return true
        }
    }

    /// The index of the quotation mark that ends a text; nil when the text spells U+0000 or never ends.
    private static func endOfString(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
        var index = start
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "\"") { return index }
            if bytes[index] == UInt8(ascii: "\\") {
                let isNUL =
                    index + 5 < bytes.count && bytes[index + 1] == UInt8(ascii: "u")
                    && bytes[(index + 2)...(index + 5)].allSatisfy { $0 == UInt8(ascii: "0") }
                if isNUL { return nil }
                index += 1
            }
            index += 1
        }
        return nil
    }
}
