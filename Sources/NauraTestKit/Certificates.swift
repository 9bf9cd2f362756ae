import Foundation
import Synchronization

/// An authority of a test's own with the certificates that it vouches for, made by `openssl`.
public struct Certificates: Sendable {
    /// PEM files. The server's is good for `localhost` and 127.0.0.1.
    public let authority, serverCertificate, serverKey, clientCertificate, clientKey: String
    /// The password of the client's key; its certificate is for `certified`.
    public let keyPassword = "key-password"

    /// Whether `openssl` is installed.
    public static let isAvailable = executable("openssl") != nil

    /// Those of this test process.
    public static func own() throws -> Certificates { try cache.get("own") }
    /// Of an authority that nobody here trusts.
    public static func strangers() throws -> Certificates { try cache.get("strangers") }

    private static let cache = CertificateCache()

    fileprivate init(folder: URL, client: String) throws {
        func path(_ name: String) -> String { folder.appending(path: name).path }
        (authority, serverCertificate, serverKey) = (path("ca.pem"), path("server.pem"), path("server.key"))
        (clientCertificate, clientKey) = (path("client.pem"), path("client.key"))
        let script = """
            set -e
            cd "$1"
            openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj "/CN=Naura tests" -days 2
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' > names
            openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 \
                -extfile names
            openssl req -newkey rsa:2048 -passout "pass:$3" -keyout client.key -out client.csr -subj "/CN=$2"
            openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out client.pem -days 2
            openssl rsa -in client.key -passin "pass:$3" -out client-open.key
            chmod 600 *.key
            """
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        shell.arguments = ["-c", script, "certificates", folder.path, client, keyPassword]
        shell.standardInput = FileHandle.nullDevice
        shell.standardOutput = FileHandle.nullDevice
        shell.standardError = FileHandle.nullDevice
        try shell.run()
        shell.waitUntilExit()
        guard shell.terminationStatus == 0 else { throw TestKitError("openssl could not make certificates") }
    }

    /// The client's key without a password.
    public var openClientKey: String { clientKey.replacing("client.key", with: "client-open.key") }

    static func executable(_ name: String) -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        return path.split(separator: ":").map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }
}

/// Made once a test process: a key takes a tenth of a second.
private final class CertificateCache: Sendable {
    private let made = Mutex<[String: Certificates]>([:])

    func get(_ name: String) throws -> Certificates {
        try made.withLock { made in
            if let there = made[name] { return there }
            let folder = try TestProcesses.folder().appending(path: "certificates-\(name)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let new = try Certificates(folder: folder, client: "certified")
            made[name] = new
            return new
        }
    }
}

/// What keeps a test from its tools.
public struct TestKitError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
