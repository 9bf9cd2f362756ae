import CLibPQ
import Foundation

/// Connection strings of libpq: what may be shown of them, and how a password is added.
public enum DatabaseAddress {
    /// Host, port, database, user and TLS mode of `address`; never a password, whatever form the address has.
    public static func redacted(_ address: String) -> String {
        guard let values = parsed(address), isWhole(values) else { return "an address that cannot be read" }
        let user = values["user"].map { "\($0)@" } ?? ""
        let host = values["host"] ?? values["hostaddr"] ?? ""
        let port = values["port"].map { ":\($0)" } ?? ""
        let mode = values["sslmode"].map { "?sslmode=\($0)" } ?? ""
        return "postgresql://\(user)\(host)\(port)/\(values["dbname"] ?? "")\(mode)"
    }

    private static func parsed(_ address: String) -> [String: String]? {
        guard let options = PQconninfoParse(address, nil) else { return nil }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        return values
    }

    /// False when a password with a sign that should have been encoded has spilled into host, port or database, where
    /// messages would tell it.
    private static func isWhole(_ values: [String: String]) -> Bool {
        let port = values["port"] ?? ""
        return ["user", "host", "dbname"].allSatisfy { values[$0]?.contains("@") != true }
            && port.allSatisfy { $0.isNumber || $0 == "," }
    }

    /// `address` with `password`, which wins over one that stands in it.
    public static func adding(password: String, to address: String) -> String {
        guard address.hasPrefix("postgresql://") || address.hasPrefix("postgres://") else {
            let escaped = password.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
            return "\(address) password='\(escaped)'"
        }
        // As a parameter: an address of several hosts has no one place for it before the hosts.
        let encoded = password.utf8.map { byte in
            isPlain(byte) ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
        return "\(address)\(address.contains("?") ? "&" : "?")password=\(encoded)"
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
    }

    /// Throws when `address` cannot be read, with libpq's reason and without what it quotes: a password with a sign that
    /// should have been encoded ends up in other parts of the address, and in the reason.
    static func check(_ address: String) throws {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(address, &message) else {
            defer { PQfreemem(message) }
            let reason = message.map { String(cString: $0).trimmingCharacters(in: .whitespacesAndNewlines) } ?? "empty"
            throw PostgresError(.addressInvalid, "the database's address cannot be read: \(withoutQuotes(reason))")
        }
        PQconninfoFree(options)
        guard let values = parsed(address), isWhole(values) else {
            throw PostgresError(
                .addressInvalid,
                "the database's address cannot be read: signs such as @, : and / in a user's name or password must be "
                    + "percent-encoded, or the password given by NAURA_DATABASE_PASSWORD")
        }
    }

    private static func withoutQuotes(_ reason: String) -> String {
        let parts = reason.split(separator: "\"", omittingEmptySubsequences: false)
        return parts.enumerated().map { $0.offset % 2 == 1 && $0.element.count > 1 ? "…" : String($0.element) }
            .joined(separator: "\"")
    }
}
