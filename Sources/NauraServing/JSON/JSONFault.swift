/// Why bytes are no JSON, or not the JSON that was expected, and where.
struct JSONFault: Error, Equatable {
    /// What was found wrong, as the rest of a sentence: "a string is not closed".
    let reason: StaticReason
    /// The byte, counted from 0, at which it was noticed.
    let offset: Int

    /// The kinds of fault; a number each, so that throwing one costs no memory.
    enum StaticReason: UInt8 {
        case unexpectedEnd, unexpectedByte, unclosedString, controlCharacter, badEscape, badSurrogate, badUTF8
        case badNumber, tooDeep, trailingBytes

        var text: String {
            switch self {
            case .unexpectedEnd: "it ends too early"
            case .unexpectedByte: "an unexpected character"
            case .unclosedString: "a text is not closed"
            case .controlCharacter: "a control character inside a text"
            case .badEscape: "an unknown escape inside a text"
            case .badSurrogate: "half a surrogate pair"
            case .badUTF8: "bytes that are not UTF-8"
            case .badNumber: "a malformed number"
            case .tooDeep: "more than \(JSONReader.depthMax) levels"
            case .trailingBytes: "something after the end"
            }
        }
    }

    /// The fault as a sentence about the body.
    var message: String { "the body is no JSON: \(reason.text) at byte \(offset)" }
}
