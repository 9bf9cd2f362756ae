// Where database and broker are and what is to be shown there, read once by every program: from the environment, and
// secrets from files too. Never from arguments, which every user of the machine can read.

import Foundation
import NauraKafka
import NauraPostgres

/// Where the servers are, and the credentials for them. Printing it shows no secret.
///
/// Each secret is given by one of two variables: `NAME` holds it, or `NAME_FILE` names a file that does (one line break
/// at its end is no part of it).
///
/// | variable | type | default |
/// | --- | --- | --- |
/// | `NAURA_DATABASE_URL` (secret) | `postgresql://user@host:port/name?sslmode=verify-full&sslrootcert=…`, or any connection string of libpq | none |
/// | `NAURA_DATABASE_PASSWORD` (secret) | text; wins over one in the address | the address', `PGPASSWORD` or `PGPASSFILE` |
/// | `NAURA_KAFKA_BROKERS` | `host:port`, comma-separated | none |
/// | `NAURA_KAFKA_SECURITY` | `plaintext`, `tls`, `sasl-plaintext`, `sasl-tls` | `plaintext` |
/// | `NAURA_KAFKA_CA_FILE` | PEM file of the authorities to trust | the system's |
/// | `NAURA_KAFKA_CERTIFICATE_FILE`, `NAURA_KAFKA_KEY_FILE` | PEM files of the client's certificate and key | none |
/// | `NAURA_KAFKA_KEY_PASSWORD` (secret) | text | none |
/// | `NAURA_KAFKA_SASL_MECHANISM` | `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` | none |
/// | `NAURA_KAFKA_SASL_USERNAME`, `NAURA_KAFKA_SASL_PASSWORD` (secrets) | for PLAIN and SCRAM | none |
/// | `NAURA_KAFKA_OAUTH_TOKEN_URL` | the identity provider's token endpoint, for OAUTHBEARER | none |
/// | `NAURA_KAFKA_OAUTH_CLIENT_ID`, `NAURA_KAFKA_OAUTH_CLIENT_SECRET` (secrets) | for OAUTHBEARER | none |
/// | `NAURA_KAFKA_OAUTH_SCOPE` | text | none |
/// | `NAURA_TOKEN` (secret) | what HTTP routes want off the loopback address | none |
public struct ServerConfiguration: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// A connection string of libpq, with the password; empty when none is given.
    public let databaseURL: String
    /// The broker's addresses, empty when none are given, and how to talk to them.
    public let kafka: KafkaConfiguration
    /// The bearer token of the HTTP faces.
    public let token: String?

    /// Reads what `value` gives for each variable name, `NAURA_` included; adds what is wrong with it to `faults`.
    public init(faults: inout [String], _ value: @escaping (String) -> String?) {
        var reader = VariableReader(value)
        var address = reader.secret("NAURA_DATABASE_URL") ?? ""
        if let password = reader.secret("NAURA_DATABASE_PASSWORD"), !address.isEmpty {
            address = DatabaseAddress.adding(password: password, to: address)
        }
        databaseURL = address
        var kafka = KafkaConfiguration(brokers: reader.text("NAURA_KAFKA_BROKERS") ?? "")
        kafka.security = reader.kafkaSecurity()
        self.kafka = kafka
        token = reader.secret("NAURA_TOKEN")
        faults += reader.faults
    }

    /// The same from the variables of a process.
    public init(environment: [String: String], faults: inout [String]) {
        self.init(faults: &faults) { environment[$0] }
    }

    /// Addresses and mechanisms; no secret.
    public var description: String { "\(DatabaseAddress.redacted(databaseURL)), \(kafka)" }
    /// The same as ``description``.
    public var debugDescription: String { description }
}

/// Reads variables, and keeps what is wrong with them. Messages name variables and files, never a secret.
private struct VariableReader {
    private let value: (String) -> String?
    private(set) var faults: [String] = []

    init(_ value: @escaping (String) -> String?) { self.value = value }

    /// The variable's text; nil when it is unset or empty.
    func text(_ name: String) -> String? { value(name).flatMap { $0.isEmpty ? nil : $0 } }

    /// The secret `name`, or what the file that `name`_FILE names holds.
    mutating func secret(_ name: String) -> String? {
        guard let path = text("\(name)_FILE") else { return text(name) }
        guard text(name) == nil else {
            faults.append("\(name) and \(name)_FILE are both set; one of them must go")
            return nil
        }
        guard let bytes = FileManager.default.contents(atPath: path) else {
            faults.append("\(name)_FILE: the file \(path) cannot be read")
            return nil
        }
        var secret = String(decoding: bytes, as: UTF8.self)
        if secret.hasSuffix("\n") { secret.removeLast() }
        if secret.isEmpty { faults.append("\(name)_FILE: the file \(path) is empty") }
        return secret.isEmpty ? nil : secret
    }

    /// The path of a file that must be readable.
    private mutating func file(_ name: String) -> String? {
        guard let path = text(name) else { return nil }
        if !FileManager.default.isReadableFile(atPath: path) {
            faults.append("\(name): the file \(path) cannot be read")
        }
        return path
    }

    mutating func kafkaSecurity() -> KafkaSecurity {
        var security = KafkaSecurity()
        let transports: [String: KafkaSecurity.Transport] = [
            "plaintext": .plaintext, "tls": .tls, "sasl-plaintext": .saslPlaintext, "sasl-tls": .saslTLS,
        ]
        let asked = text("NAURA_KAFKA_SECURITY") ?? "plaintext"
        if let transport = transports[asked] {
            security.transport = transport
        } else {
            faults.append(
                "NAURA_KAFKA_SECURITY: expected plaintext, tls, sasl-plaintext or sasl-tls, found \(asked)")
        }
        let isTLS = [.tls, .saslTLS].contains(security.transport)
        security.authorityFile = file("NAURA_KAFKA_CA_FILE")
        security.certificateFile = file("NAURA_KAFKA_CERTIFICATE_FILE")
        security.keyFile = file("NAURA_KAFKA_KEY_FILE")
        security.keyPassword = secret("NAURA_KAFKA_KEY_PASSWORD")
        if (security.certificateFile == nil) != (security.keyFile == nil) {
            faults.append("NAURA_KAFKA_CERTIFICATE_FILE and NAURA_KAFKA_KEY_FILE go together; one of them is missing")
        }
        if !isTLS, [security.authorityFile, security.certificateFile].contains(where: { $0 != nil }) {
            faults.append("NAURA_KAFKA_SECURITY: \(asked) uses no certificate; expected tls or sasl-tls")
        }
        readSASL(into: &security, asked)
        return security
    }

    private mutating func readSASL(into security: inout KafkaSecurity, _ asked: String) {
        let mechanism = text("NAURA_KAFKA_SASL_MECHANISM")
        let isSASL = [.saslPlaintext, .saslTLS].contains(security.transport)
        guard isSASL else {
            // A password that is set and not used is a connection that is less safe than somebody believes.
            if mechanism != nil {
                faults.append("NAURA_KAFKA_SECURITY: \(asked) uses no SASL; expected sasl-tls or sasl-plaintext")
            }
            return
        }
        security.mechanism = mechanism
        switch mechanism {
        case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
            security.username = needed("NAURA_KAFKA_SASL_USERNAME", secret("NAURA_KAFKA_SASL_USERNAME"))
            security.password = needed("NAURA_KAFKA_SASL_PASSWORD", secret("NAURA_KAFKA_SASL_PASSWORD"))
        case "OAUTHBEARER":
            security.oauth = KafkaSecurity.OAuth(
                tokenURL: needed("NAURA_KAFKA_OAUTH_TOKEN_URL", text("NAURA_KAFKA_OAUTH_TOKEN_URL")),
                clientID: needed("NAURA_KAFKA_OAUTH_CLIENT_ID", secret("NAURA_KAFKA_OAUTH_CLIENT_ID")),
                clientSecret: needed("NAURA_KAFKA_OAUTH_CLIENT_SECRET", secret("NAURA_KAFKA_OAUTH_CLIENT_SECRET")),
                scope: text("NAURA_KAFKA_OAUTH_SCOPE"))
        case "GSSAPI":
            faults.append(
                "NAURA_KAFKA_SASL_MECHANISM: GSSAPI (Kerberos) has never been tried with Naura, so it is refused; "
                    + "expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, or tls with a client certificate")
        default:
            faults.append(
                "NAURA_KAFKA_SASL_MECHANISM: expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, found "
                    + (mechanism ?? "nothing"))
        }
    }

    private mutating func needed(_ name: String, _ value: String?) -> String {
        if value == nil, !faults.contains(where: { $0.hasPrefix("\(name)_FILE:") || $0.hasPrefix("\(name) and") }) {
            faults.append("\(name) is not set")
        }
        return value ?? ""
    }
}
