/// What payloads ask of single values; each equals a keyword of the schemas.
enum Check {
    /// 1 to 200 characters (`minLength`, `maxLength`), counted as Unicode scalars as JSON Schema does.
    static func name(_ text: String) -> Bool {
        let bytes = text.utf8.count
        return bytes > 0 && (bytes <= 200 || text.unicodeScalars.count <= 200)
    }

    static func name(_ identifier: some Identifier) -> Bool { name(identifier.rawValue) }

    /// 64 lower-case hex digits; nil passes.
    static func sha256(_ text: String?) -> Bool {
        guard let text else { return true }
        return text.utf8.count == 64 && isLowerHex(text)
    }

    /// 7 to 64 lower-case hex digits.
    static func commit(_ text: String) -> Bool { (7...64).contains(text.utf8.count) && isLowerHex(text) }

    /// One or more lower-case hex digits.
    static func hex(_ text: String) -> Bool { !text.utf8.isEmpty && isLowerHex(text) }

    private static func isLowerHex(_ text: String) -> Bool {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (0x61...0x66).contains($0) }
    }

    /// A scheme, a colon, and no blank or control character (format `uri`). Characters beyond ASCII pass, since file
    /// names have them.
    static func uri(_ text: String) -> Bool {
        var seenColon = false
        var length = 0
        for scalar in text.unicodeScalars {
            if scalar.value <= 0x20 || scalar.value == 0x7F || scalar.properties.isWhitespace { return false }
            if !seenColon {
                if scalar == ":" {
                    if length == 0 { return false }
                    seenColon = true
                } else {
                    let isLetter = (scalar >= "a" && scalar <= "z") || (scalar >= "A" && scalar <= "Z")
                    let isOther =
                        (scalar >= "0" && scalar <= "9") || scalar == "+" || scalar == "-" || scalar == "."
                    if !isLetter && (length == 0 || !isOther) { return false }
                }
            }
            length += 1
        }
        return seenColon && text.utf8.last != UInt8(ascii: ":")
    }

    /// The schemes that data can be fetched by, followed by `://` and something.
    static func dataScheme(_ uri: String) -> Bool {
        for scheme in ["file://", "http://", "https://", "s3://"] where uri.hasPrefix(scheme) {
            return uri.utf8.count > scheme.utf8.count
        }
        return false
    }
}
