// TLS between us and PostgreSQL, and what may be shown of an address.

import Foundation
import Logging
import NauraPostgres
import NauraTestKit
import Testing

@Suite("Addresses of databases")
struct DatabaseAddressTests {
    @Test(
        "no form of an address shows its password",
        arguments: [
            "postgresql://ada:s3cret@db.example:5433/naura?sslmode=verify-full",
            "postgres://ada:s3cret@db.example/naura",
            "postgresql://db.example/naura?user=ada&password=s3cret",
            "host=db.example user=ada password=s3cret dbname=naura",
            "postgresql://ada:s3cret@one.example:1,two.example:2/naura", "postgresql://ada:s3cret%zz@db.example/naura",
            "postgresql://ada:s3c/ret@db.example/naura", "postgresql://ada:@s3cret@db.example/naura", "s3cret=",
            "s3cret",
        ])
    func redacted(_ address: String) async throws {
        #expect(!DatabaseAddress.redacted(address).contains("s3c"), "\(DatabaseAddress.redacted(address))")
        // Nor does whoever cannot read it, or reach it.
        let database = Database(
            url: address.replacing("example", with: "invalid"), connectionsMax: 1, applicationName: "test",
            logger: Logger(label: "naura.tests"))
        let fault = await #expect(throws: PostgresError.self) { try await database.query("select 1") }
        #expect(fault.map { !"\($0)".contains("s3c") } == true, "\(String(describing: fault))")
        await database.close()
    }

    @Test("a redacted address says where it leads")
    func says() {
        #expect(
            DatabaseAddress.redacted("postgresql://ada:s3cret@db.example:5433/naura?sslmode=verify-full")
                == "postgresql://ada@db.example:5433/naura?sslmode=verify-full")
    }
}

@Suite(
    "PostgreSQL with TLS", .timeLimit(.minutes(1)),
    .enabled(if: LocalCluster.isInstalled && Certificates.isAvailable, "needs PostgreSQL and openssl"))
struct TLSTests {
    private static let password = "a % b'c\\d&e=f"

    /// Lends a server that takes TLS alone: the user `naura` by password, `certified` by certificate.
    private static func with(_ body: (_ port: Int, _ certificates: Certificates) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-tls-\(UUID().uuidString)")
        let cluster = LocalCluster(
            directory: folder, settings: ["fsync": "off"], logger: Logger(label: "naura.tests"))
        let url = try await cluster.ensureRunning()
        let certificates = try Certificates.own()
        let database = Database(
            url: url.absoluteString, connectionsMax: 1, applicationName: "test", logger: Logger(label: "naura.tests"))
        let row = try await database.first("select current_setting('data_directory') as place")
        let data = URL(filePath: try #require(row).get("place", as: String.self))
        let owner = try FileManager.default.attributesOfItem(atPath: data.path)
        for (name, path) in [
            ("tls.pem", certificates.serverCertificate), ("tls.key", certificates.serverKey),
            ("tls-ca.pem", certificates.authority),
        ] {
            let file = data.appending(path: name).path
            try FileManager.default.copyItem(atPath: path, toPath: file)
            try FileManager.default.setAttributes(
                [
                    .ownerAccountID: owner[.ownerAccountID] ?? 0,
                    .groupOwnerAccountID: owner[.groupOwnerAccountID] ?? 0,
                    .posixPermissions: 0o600,
                ], ofItemAtPath: file)
        }
        try Data(
            """
            hostssl all certified 127.0.0.1/32 cert
            hostssl all naura 127.0.0.1/32 scram-sha-256

            """.utf8
        ).write(to: data.appending(path: "pg_hba.conf"))
        for statement in [
            "alter system set ssl_cert_file = 'tls.pem'", "alter system set ssl_key_file = 'tls.key'",
            "alter system set ssl_ca_file = 'tls-ca.pem'", "alter system set ssl = on", "create role certified login",
            "alter role naura password '\(password.replacing("'", with: "''"))'", "select pg_reload_conf()",
        ] { _ = try await database.query(Query(stringLiteral: statement)) }
        await database.close()
        let result: Result<Void, any Error>
        do { result = .success(try await body(url.port ?? 0, certificates)) } catch { result = .failure(error) }
        try await cluster.destroy()
        try FileManager.default.removeItem(at: folder)
        try result.get()
    }

    /// The TLS version of a new session; what refused it is thrown.
    private static func version(_ address: String) async throws -> String? {
        let database = Database(
            url: address, connectionsMax: 1, applicationName: "test", logger: Logger(label: "naura.tests"))
        do {
            let row = try await database.first("select version from pg_stat_ssl where pid = pg_backend_pid()")
            await database.close()
            return try row?.get("version")
        } catch {
            await database.close()
            throw error
        }
    }

    private static func refusal(_ address: String) async -> PostgresError? {
        do {
            _ = try await version(address)
            return nil
        } catch {
            return error as? PostgresError
        }
    }

    @Test("the server's certificate is checked, with its name; clients are known by password or by certificate")
    func modes() async throws {
        try await Self.with { port, certificates in
            let tls = "sslmode=verify-full&sslrootcert=\(certificates.authority)"
            let address = DatabaseAddress.adding(
                password: Self.password, to: "postgresql://naura@127.0.0.1:\(port)/naura?\(tls)")
            // The server reads its new settings within a moment.
            #expect(try await eventually { await Self.refusal(address) == nil })
            #expect(try await Self.version(address)?.hasPrefix("TLSv1") == true)
            // The form of keywords takes the same password.
            let keywords = DatabaseAddress.adding(
                password: Self.password,
                to: "host=localhost hostaddr=127.0.0.1 port=\(port) user=naura dbname=naura sslmode=verify-full "
                    + "sslrootcert=\(certificates.authority)")
            #expect(try await Self.version(keywords)?.hasPrefix("TLSv1") == true)

            let stranger = try Certificates.strangers().authority
            let refusals = [
                address.replacing(certificates.authority, with: stranger),
                address.replacing("@127.0.0.1", with: "@another.example") + "&hostaddr=127.0.0.1",
                address.replacing("verify-full", with: "disable"),
                DatabaseAddress.adding(password: "wrong-one", to: address),
                "postgresql://certified@127.0.0.1:\(port)/naura?\(tls)",
            ]
            for refused in refusals {
                let fault = try #require(await Self.refusal(refused), "\(DatabaseAddress.redacted(refused))")
                // No waiting cures these, and none tells the password.
                #expect(!fault.isTransient, "\(fault)")
                #expect(!"\(fault)".contains("wrong-one") && !"\(fault)".contains(Self.password))
            }
            let client = "sslcert=\(certificates.clientCertificate)&sslkey=\(certificates.openClientKey)"
            #expect(
                try await Self.version("postgresql://certified@127.0.0.1:\(port)/naura?\(tls)&\(client)")?
                    .hasPrefix("TLSv1") == true)
        }
    }
}
