import Crypto
import Foundation
import HTTPTypes

/// The secret that a code host signs its webhooks with. Never printed.
public struct WebhookSecret: Sendable, CustomStringConvertible {
    private let key: SymmetricKey

    /// The secret `text`; nil for an empty one, under which anybody could sign.
    public init?(_ text: String) {
        guard !text.isEmpty else { return nil }
        key = SymmetricKey(data: Data(text.utf8))
    }

    /// The secret that the file at `path` holds, line ends at its end aside.
    /// - Throws: ``APIError`` when the file cannot be read, or holds nothing.
    public init(file path: String) throws {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw APIError(.serviceUnavailable, .notConfigured, "\(path) cannot be read as text: \(error)")
        }
        let end = text.lastIndex { !$0.isNewline }.map { text.index(after: $0) } ?? text.startIndex
        guard let secret = WebhookSecret(String(text[..<end])) else {
            throw APIError(.serviceUnavailable, .notConfigured, "\(path) is empty")
        }
        self = secret
    }

    /// Whether `signature`, as `X-Hub-Signature-256` carries it, is this secret's over `body`:
    /// `sha256=` and the HMAC-SHA256 in hex. Takes as long for a wrong first byte as for a wrong last one.
    func signed(_ body: some DataProtocol, as signature: String) -> Bool {
        guard let code = WebhookSecret.code(in: signature) else { return false }
        return HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: body, using: key)
    }

    /// The bytes of a well-formed signature; nil for anything else.
    static func code(in signature: String) -> [UInt8]? {
        let prefix = "sha256="
        let digits = Array(signature.utf8.dropFirst(prefix.utf8.count))
        guard signature.hasPrefix(prefix), digits.count == 64 else { return nil }
        var code: [UInt8] = []
        for place in stride(from: 0, to: 64, by: 2) {
            guard let high = hexValue(digits[place]), let low = hexValue(digits[place + 1]) else { return nil }
            code.append(high << 4 | low)
        }
        return code
    }

    private static func hexValue(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// A placeholder.
    public var description: String { "(a webhook secret)" }
}
