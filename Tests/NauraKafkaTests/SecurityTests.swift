// TLS, client certificates and SASL, against a door in front of the laptop broker (Tests/Tools/kafka-door.py).

import Foundation
import NauraKafka
import NauraTestKit
import Testing

@Suite(
    "Talking to a broker that wants to know who asks", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: TestBroker.isAvailable && KafkaDoor.isAvailable, "needs the programs tansu, python3 and openssl"))
struct SecurityTests {
    private static let password = "correct horse % battery"

    /// Sends a record and reads it back.
    private func roundTrip(_ configuration: KafkaConfiguration) async throws {
        var configuration = configuration
        configuration.sessionTimeout = .seconds(2)
        let admin = try KafkaAdmin(configuration: configuration)
        let topic = TestBroker.uniqueName("secured")
        try await admin.createTopics([topic], partitions: 1)
        await admin.close()
        let producer = try KafkaProducer(configuration: configuration)
        try await producer.send([message(topic, 7)])
        let member = try Member(configuration, group: TestBroker.uniqueName("group"), topics: [topic])
        #expect(try await member.collect(1).map { text($0.value) } == ["7"])
        await member.close()
        await producer.close()
    }

    /// What a client is told that asks in vain.
    private func refusal(_ configuration: KafkaConfiguration) async -> (any Error)? {
        do {
            let admin = try KafkaAdmin(configuration: configuration)
            do {
                _ = try await admin.metadata(within: .seconds(2))
                await admin.close()
                return nil
            } catch {
                await admin.close()
                return error
            }
        } catch {
            return error
        }
    }

    @Test("with TLS the broker's certificate must be one that the given authority vouches for")
    func tls() async throws {
        let door = try await KafkaDoor()
        var configuration = door.configuration
        try await roundTrip(configuration)
        configuration.security.authorityFile = try Certificates.strangers().authority
        #expect(await refusal(configuration) != nil)
        configuration.security = KafkaSecurity()
        #expect(await refusal(configuration) != nil)
        door.close()
    }

    @Test("a broker that wants client certificates lets in those that its authority vouches for")
    func clientCertificates() async throws {
        let door = try await KafkaDoor(wantsCertificates: true)
        var configuration = door.configuration
        #expect(await refusal(configuration) != nil)
        configuration.security.certificateFile = door.certificates.clientCertificate
        configuration.security.keyFile = door.certificates.clientKey
        configuration.security.keyPassword = door.certificates.keyPassword
        try await roundTrip(configuration)
        door.close()
    }

    @Test(
        "a user is known by SASL over TLS, and a wrong password is refused without being told to anybody",
        arguments: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    func passwords(mechanism: String) async throws {
        let door = try await KafkaDoor(mechanism: mechanism, password: Self.password)
        var configuration = door.configuration
        configuration.security.transport = .saslTLS
        configuration.security.mechanism = mechanism
        configuration.security.username = "naura"
        configuration.security.password = Self.password
        try await roundTrip(configuration)
        configuration.security.password = "not-the-password"
        let refusal = try #require(await refusal(configuration))
        #expect(!"\(refusal)".contains("not-the-password"))
        #expect(!"\(configuration) \(configuration.security)".contains("not-the-password"))
        door.close()
    }

    @Test("a client is known by a token that an identity provider gives for its secret")
    func tokens() async throws {
        let door = try await KafkaDoor(mechanism: "OAUTHBEARER", password: "client-secret")
        var configuration = door.configuration
        configuration.security.transport = .saslTLS
        configuration.security.mechanism = "OAUTHBEARER"
        configuration.security.oauth = .init(
            tokenURL: door.tokenURL, clientID: "naura", clientSecret: "client-secret", scope: "events")
        try await roundTrip(configuration)
        configuration.security.oauth = .init(
            tokenURL: door.tokenURL, clientID: "naura", clientSecret: "another-secret")
        let refusal = try #require(await refusal(configuration))
        #expect(!"\(refusal) \(configuration)".contains("another-secret"))
        door.close()
    }
}
