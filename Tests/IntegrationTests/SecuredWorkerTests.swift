// Credentials: where they may come from, and that nobody tells them.

import Foundation
import Logging
import NauraEvents
import NauraKafka
import NauraPostgres
import NauraStage
import NauraTestKit
import Testing

@Suite("What the environment says of the servers")
struct ServerConfigurationTests {
    private func read(_ environment: [String: String]) -> (configuration: ServerConfiguration, faults: [String]) {
        var faults: [String] = []
        let configuration = ServerConfiguration(environment: environment, faults: &faults)
        return (configuration, faults)
    }

    private func file(_ text: String) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "naura-secret-\(UUID().uuidString)").path
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    @Test("a secret may stand in a file, one line break at its end is no part of it, and no description shows one")
    func secretsFromFiles() throws {
        let files = try ["file-pass\n", "kafka-pass", "ada"].map(file)
        let (configuration, faults) = read([
            "NAURA_DATABASE_URL": "postgresql://ada@db.example/naura", "NAURA_DATABASE_PASSWORD_FILE": files[0],
            "NAURA_KAFKA_BROKERS": "kafka.example:9093", "NAURA_KAFKA_SECURITY": "sasl-tls",
            "NAURA_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "NAURA_KAFKA_SASL_USERNAME_FILE": files[2],
            "NAURA_KAFKA_SASL_PASSWORD_FILE": files[1], "NAURA_TOKEN": "token-text",
        ])
        #expect(faults.isEmpty, "\(faults)")
        #expect(configuration.databaseURL == "postgresql://ada@db.example/naura?password=file%2dpass")
        #expect(configuration.kafka.security.password == "kafka-pass")
        #expect(configuration.kafka.security.username == "ada")
        #expect(configuration.token == "token-text")
        let shown = "\(configuration) \(String(reflecting: configuration)) \(String(reflecting: configuration.kafka))"
        #expect(shown.contains("db.example") && shown.contains("SCRAM-SHA-512"))
        for secret in ["file-pass", "file%2dpass", "kafka-pass", "token-text"] { #expect(!shown.contains(secret)) }
        let empty = try file("\n")
        #expect(read(["NAURA_TOKEN_FILE": empty]).faults == ["NAURA_TOKEN_FILE: the file \(empty) is empty"])
        for path in files + [empty] { try FileManager.default.removeItem(atPath: path) }
    }

    @Test(
        "what does not fit together is refused with the variable's name, and without a secret",
        arguments: [
            (["NAURA_KAFKA_SECURITY": "ssl"], "NAURA_KAFKA_SECURITY: expected plaintext, tls"),
            (["NAURA_KAFKA_SASL_MECHANISM": "PLAIN"], "NAURA_KAFKA_SECURITY: plaintext uses no SASL"),
            (["NAURA_KAFKA_SECURITY": "sasl-tls"], "NAURA_KAFKA_SASL_MECHANISM: expected PLAIN"),
            (
                ["NAURA_KAFKA_SECURITY": "sasl-tls", "NAURA_KAFKA_SASL_MECHANISM": "GSSAPI"],
                "GSSAPI (Kerberos) has never been tried"
            ),
            (
                ["NAURA_KAFKA_SECURITY": "sasl-tls", "NAURA_KAFKA_SASL_MECHANISM": "PLAIN"],
                "NAURA_KAFKA_SASL_PASSWORD is not set"
            ),
            (
                ["NAURA_KAFKA_SECURITY": "sasl-tls", "NAURA_KAFKA_SASL_MECHANISM": "OAUTHBEARER"],
                "NAURA_KAFKA_OAUTH_TOKEN_URL is not set"
            ),
            (
                ["NAURA_KAFKA_SECURITY": "tls", "NAURA_KAFKA_CA_FILE": "/nowhere/ca.pem"],
                "/nowhere/ca.pem cannot be read"
            ),
            (
                ["NAURA_KAFKA_SECURITY": "tls", "NAURA_KAFKA_KEY_FILE": "/dev/null"],
                "go together; one of them is missing"
            ),
            (["NAURA_KAFKA_CA_FILE": "/dev/null"], "plaintext uses no certificate"),
            (
                ["NAURA_TOKEN": "s3cret", "NAURA_TOKEN_FILE": "/dev/null"],
                "NAURA_TOKEN and NAURA_TOKEN_FILE are both set"
            ),
            (["NAURA_DATABASE_URL_FILE": "/nowhere/url"], "the file /nowhere/url cannot be read"),
        ] as [([String: String], String)])
    func faults(_ environment: [String: String], _ expected: String) {
        let faults = read(environment).faults
        #expect(faults.contains { $0.contains(expected) }, "\(faults)")
        #expect(!faults.contains { $0.contains("s3cret") })
    }
}

@Suite(
    "A worker behind TLS and passwords", .serialized, .timeLimit(.minutes(2)),
    .enabled(
        if: TestBroker.isAvailable && KafkaDoor.isAvailable && TestDatabase.isConfigured,
        "needs the programs tansu, python3 and openssl, and PostgreSQL"))
struct SecuredWorkerTests {
    private static let secret = "kafka-s3cret"

    private func environment(_ door: KafkaDoor, _ url: String) throws -> (
        variables: [String: String], secrets: [String]
    ) {
        let parts = try #require(URLComponents(string: url))
        var open = parts
        open.password = nil
        let password = parts.password ?? ""
        return (
            [
                "NAURA_DATABASE_URL": open.string ?? "", "NAURA_DATABASE_PASSWORD": password,
                "NAURA_KAFKA_BROKERS": door.brokers, "NAURA_ARTIFACTS": "/tmp", "NAURA_KAFKA_SECURITY": "sasl-tls",
                "NAURA_KAFKA_CA_FILE": door.certificates.authority, "NAURA_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
                "NAURA_KAFKA_SASL_USERNAME": "naura", "NAURA_KAFKA_SASL_PASSWORD": Self.secret,
                "NAURA_TOKEN": "token-s3cret", "NAURA_KAFKA_SESSION_TIMEOUT_MS": "2000", "NAURA_KAFKA_LEAVE_GROUP": "0",
                "NAURA_LOG_LEVEL": "trace",
            ], [Self.secret, "token-s3cret"] + (password.isEmpty ? [] : [password])
        )
    }

    @Test("it handles events from a broker that wants TLS and SCRAM, and its most talkative log holds no secret")
    func works() async throws {
        try await TestDatabase.withURL { url in
            let door = try await KafkaDoor(mechanism: "SCRAM-SHA-256", password: Self.secret)
            let database = Database(url: url, applicationName: "test", logger: Logger(label: "naura.tests"))
            for statement in ["create schema probe", RuntimeHarness.effectTable] {
                try await database.update(Query(stringLiteral: statement))
            }
            let (variables, secrets) = try environment(door, url)
            let worker = try WorkerProcess("probe-worker", arguments: ["probe"], environment: variables)
            var configuration = door.configuration
            configuration.security.transport = .saslTLS
            configuration.security.mechanism = "SCRAM-SHA-256"
            configuration.security.username = "naura"
            configuration.security.password = Self.secret
            let producer = try KafkaProducer(configuration: configuration)
            let event = try RuntimeHarness.event("ok", 1)
            _ = try await eventually { worker.log.contains("assigned") || !worker.isRunning }
            try await producer.send([
                KafkaMessage(
                    topic: "new-data", key: Array("one".utf8), value: event.body, headers: event.headers)
            ])
            let isHandled = try await eventually {
                try await database.query("select 1 as one from probe.effect limit 1").count == 1
            }
            #expect(isHandled, "\(worker.log.suffix(3_000))")
            #expect(await worker.stop() == 0)
            for secret in secrets { #expect(!worker.log.contains(secret)) }
            await producer.close()
            await database.close()
            door.close()
        }
    }

    @Test("with wrong credentials it says what is refused, and not the credentials")
    func refuses() async throws {
        try await TestDatabase.withURL { url in
            let door = try await KafkaDoor(mechanism: "SCRAM-SHA-256", password: Self.secret)
            var (variables, secrets) = try environment(door, url)
            variables["NAURA_KAFKA_SASL_PASSWORD"] = "wrong-one"
            let worker = try WorkerProcess("probe-worker", arguments: ["probe"], environment: variables)
            let isSaid = try await eventually(within: .seconds(20)) {
                worker.log.lowercased().contains("authentication") || !worker.isRunning
            }
            #expect(isSaid, "\(worker.log.suffix(3_000))")
            await worker.kill()
            for secret in secrets + ["wrong-one"] { #expect(!worker.log.contains(secret)) }
            door.close()
        }
    }
}
