import NauraKafka
import NauraTestKit
import Testing

@Suite(.enabled(if: TestBroker.isAvailable, "needs the program tansu"), .timeLimit(.minutes(2)))
struct ProducerTests {
    @Test("a key's partition is the one that Java's client chooses")
    func partitioner() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic(partitions: 16)
        let producer = try KafkaProducer(configuration: broker.configuration)
        let keys = MurmurTests.javaVectors.map(\.key)
        try await producer.send(keys.map { KafkaMessage(topic: topic, key: Array($0.utf8), value: Array($0.utf8)) })
        let member = try Member(broker.configuration, group: TestBroker.uniqueName("group"), topics: [topic])
        let records = try await member.collect(keys.count)
        for (key, hash) in MurmurTests.javaVectors {
            let record = try #require(records.first { text($0.value) == key })
            #expect(record.partition == (hash & 0x7fff_ffff) % 16)
        }
        await member.close()
        await producer.close()
    }

    @Test("what was acknowledged is in the broker exactly once, though sends overlap and the buffer is small")
    func exactlyAcknowledged() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic()
        var configuration = broker.configuration
        configuration.bufferMessagesMax = 500
        let producer = try KafkaProducer(configuration: configuration)
        try await withThrowingTaskGroup { group in
            for sender in 0..<10 {
                group.addTask {
                    for batch in 0..<10 {
                        try await producer.send((0..<40).map { message(topic, sender * 400 + batch * 40 + $0) })
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(producer.statistics.delivered == 4_000)
        #expect(producer.statistics.failed == 0)
        let member = try Member(broker.configuration, group: TestBroker.uniqueName("group"), topics: [topic])
        let numbers = try await member.collect(4_000).map { Int(text($0.value)) ?? -1 }.sorted()
        #expect(numbers == Array(0..<4_000))
        await member.close()
        await producer.close()
    }

    @Test("batches that are posted one after another arrive in this order")
    func postedInOrder() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic(partitions: 1)
        let producer = try KafkaProducer(configuration: broker.configuration)
        let deliveries = try (0..<20).map { batch in
            try producer.post((0..<50).map { message(topic, batch * 50 + $0, key: "same") })
        }
        for delivery in deliveries { try await delivery.wait() }
        let member = try Member(broker.configuration, group: TestBroker.uniqueName("group"), topics: [topic])
        let numbers = try await member.collect(1_000).map { Int(text($0.value)) ?? -1 }
        #expect(numbers == Array(0..<1_000))
        await member.close()
        await producer.close()
    }

    @Test("telemetry beyond the buffer is dropped and counted, and nothing waits")
    func telemetry() async throws {
        var configuration = KafkaConfiguration(brokers: "127.0.0.1:1")
        configuration.bufferMessagesMax = 100
        configuration.deliveryTimeout = .milliseconds(300)
        let producer = try KafkaProducer(configuration: configuration)
        let dropped = producer.sendBuffered((0..<150).map { message("telemetry", $0) })
        #expect(dropped == 50)
        #expect(throws: KafkaError.self) { try producer.post([message("telemetry", 0)]) }
        await producer.close(within: .seconds(5))
        #expect(producer.statistics.dropped == 150)
        #expect(producer.statistics.delivered == 0)
    }

    @Test("a message that finds no broker fails as transient when its time is up")
    func timeout() async throws {
        var configuration = KafkaConfiguration(brokers: "127.0.0.1:1")
        configuration.deliveryTimeout = .milliseconds(200)
        let producer = try KafkaProducer(configuration: configuration)
        let error = await #expect(throws: KafkaError.self) { try await producer.send([message("topic", 1)]) }
        #expect(error?.isTransient == true)
        await producer.close(within: .seconds(2))
        let closed = await #expect(throws: KafkaError.self) { try await producer.send([message("topic", 1)]) }
        #expect(closed?.code == .closed)
    }

    @Test("a cancelled send comes back at once")
    func cancellation() async throws {
        let producer = try KafkaProducer(configuration: KafkaConfiguration(brokers: "127.0.0.1:1"))
        let sending = Task { try await producer.send([message("topic", 1)]) }
        sending.cancel()
        await #expect(throws: CancellationError.self) { try await sending.value }
        await producer.close(within: .zero)
    }
}

@Suite
struct MurmurTests {
    /// Source: Apache Kafka, `UtilsTest.testMurmur2`.
    static let javaVectors: [(key: String, hash: Int32)] = [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971), ("abc", 479_470_107),
    ]

    @Test("the hash of a key is the one of Kafka's own test", arguments: javaVectors)
    func vectors(key: String, hash: Int32) {
        #expect(KafkaPartitioner.partition(of: Array(key.utf8), partitions: .max) == (hash & 0x7fff_ffff) % .max)
    }

    @Test("an error message names the setting at fault and never its value")
    func secrets() throws {
        var configuration = KafkaConfiguration(brokers: "127.0.0.1:1")
        configuration.security.mechanism = "no-such-mechanism"
        configuration.security.password = "hunter2"
        configuration.additional = ["sasl.oauthbearer.method": "hunter2"]
        let error = #expect(throws: KafkaError.self) { try KafkaProducer(configuration: configuration) }
        #expect(error?.code == .configuration)
        #expect(error?.description.contains("sasl.oauthbearer.method") == true)
        #expect(
            "\(error.map { "\($0)" } ?? "") \(configuration) \(configuration.security)".contains("hunter2") == false)
    }
}
