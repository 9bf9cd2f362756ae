/// Whether a process may listen where it is told to.
public enum ListenPolicy {
    /// Why listening on `host` is refused; nil when it is allowed.
    ///
    /// Off this machine every route but health and metrics must want a token, so without one only loopback addresses
    /// are allowed: `localhost`, 127.0.0.0/8 and ::1. An empty host means every address.
    public static func check(host: String, hasToken: Bool) -> String? {
        guard !hasToken, !isLoopback(host) else { return nil }
        let shown = host.isEmpty ? "every address" : host
        return "refusing to listen on \(shown): other machines could reach it, and no token is configured. "
            + "Set NAURA_TOKEN (clients then send it as a bearer token), or listen on 127.0.0.1."
    }

    /// Whether only this machine can reach `host`.
    public static func isLoopback(_ host: String) -> Bool {
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        if bare.lowercased() == "localhost" || bare == "::1" { return true }
        let parts = bare.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { $0.count <= 3 && $0.allSatisfy(\.isASCII) && UInt8($0) != nil }
    }
}

/// The secret that clients off this machine must show. Never printed.
public struct AccessToken: Sendable, CustomStringConvertible {
    private let bytes: [UInt8]

    /// The token `text`; nil for an empty one, which would let everybody in.
    public init?(_ text: String) {
        guard !text.isEmpty else { return nil }
        bytes = Array(text.utf8)
    }

    /// Whether `candidate` is the token. Takes as long for a wrong first byte as for a wrong last one, so that answers'
    /// times do not give the token away byte by byte; only its length can be learned.
    public func matches(_ candidate: String) -> Bool {
        let other = Array(candidate.utf8)
        var difference: UInt8 = other.count == bytes.count ? 0 : 1
        for index in bytes.indices {
            difference |= bytes[index] ^ (index < other.count ? other[index] : 0)
        }
        return difference == 0
    }

    /// Whether an HTTP `Authorization` header carries the token as a bearer token.
    public func admits(authorization header: String?) -> Bool {
        guard let header else { return false }
        let scheme = "bearer "
        guard header.count > scheme.count, header.prefix(scheme.count).lowercased() == scheme else { return false }
        return matches(String(header.dropFirst(scheme.count)))
    }

    /// A placeholder.
    public var description: String { "(a token)" }
}
