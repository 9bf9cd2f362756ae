import Foundation
import NauraKafka

/// A broker of its own behind TLS and SASL, for tests of the clients' side: `Tests/Tools/kafka-door.py`.
public final class KafkaDoor: Sendable {
    /// Whether its programs are installed.
    public static let isAvailable = Certificates.isAvailable && Certificates.executable("python3") != nil

    public let certificates: Certificates
    /// `localhost:PORT`, for which the certificate is good.
    public let brokers: String
    /// Where tokens are given out to the user `naura` with the door's password.
    public let tokenURL: String
    private let input: FileHandle

    /// Starts broker and door.
    /// - Parameters:
    ///   - wantsCertificates: whether clients without a certificate are turned away.
    ///   - mechanism: the one SASL mechanism that is taken; nil asks nobody's name.
    ///   - password: that of the user `naura`.
    public init(wantsCertificates: Bool = false, mechanism: String? = nil, password: String = "") async throws {
        certificates = try Certificates.own()
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Tests/Tools/kafka-door.py")
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        var arguments = [
            "python3", script.path, "--certificate", certificates.serverCertificate, "--key", certificates.serverKey,
        ]
        if wantsCertificates { arguments += ["--client-authority", certificates.authority] }
        if let mechanism { arguments += ["--mechanism", mechanism] }
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging([
            "DOOR_USER": "naura", "DOOR_PASSWORD": password,
        ]) { $1 }
        let (input, output) = (Pipe(), Pipe())
        // It ends when nobody holds this end any more, however the tests end.
        _ = fcntl(input.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        self.input = input.fileHandleForWriting
        let line = await Self.firstLine(of: output.fileHandleForReading).split(separator: " ")
        guard line.count == 3, line[0] == "ready" else { throw TestKitError("the door did not open") }
        brokers = "localhost:\(line[1])"
        tokenURL = "http://127.0.0.1:\(line[2])/token"
    }

    /// Reading blocks, so it has a thread of its own.
    private static func firstLine(of handle: FileHandle) async -> String {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var bytes = Data()
                while !bytes.contains(UInt8(ascii: "\n")) {
                    let more = handle.availableData
                    if more.isEmpty { break }
                    bytes += more
                }
                let text = String(decoding: bytes, as: UTF8.self)
                continuation.resume(returning: text.trimmingCharacters(in: .whitespacesAndNewlines))
            }
        }
    }

    /// A client that trusts the door's authority and says nothing of itself.
    public var configuration: KafkaConfiguration {
        var configuration = KafkaConfiguration(brokers: brokers, clientID: "naura-test")
        configuration.security.transport = .tls
        configuration.security.authorityFile = certificates.authority
        return configuration
    }

    /// Ends door and broker.
    public func close() {
        _ = Result { try input.close() }
    }
}
