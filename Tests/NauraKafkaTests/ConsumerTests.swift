import Foundation
import NauraKafka
import NauraTestKit
import Synchronization
import Testing

@Suite(.enabled(if: TestBroker.isAvailable, "needs the program tansu"))
struct ConsumerTests {
    @Test("records of one key arrive in order, with key, body, headers and time")
    func order() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic()
        let producer = try KafkaProducer(configuration: broker.configuration)
        let sent = (0..<1_000).map { number in
            KafkaMessage(
                topic: topic, key: Array("k\(number % 10)".utf8), value: Array("\(number)".utf8),
                headers: [("ce_id", Array("e\(number)".utf8)), ("ce_id", []), ("blob", [0, 255, 0])])
        }
        try await producer.send(sent)
        let member = try Member(broker.configuration, group: TestBroker.uniqueName("group"), topics: [topic])
        let records = try await member.collect(1_000)
        #expect(records.count == 1_000)
        for key in 0..<10 {
            let numbers = records.filter { $0.key == Array("k\(key)".utf8) }.map { Int(text($0.value)) ?? -1 }
            #expect(numbers == Array(stride(from: key, to: 1_000, by: 10)))
        }
        let first = try #require(records.first { text($0.value) == "7" })
        #expect(first.headers.map(\.name) == ["ce_id", "ce_id", "blob"])
        #expect(first.headers.map(\.value) == [Array("e7".utf8), [], [0, 255, 0]])
        #expect(abs(first.timestamp.timeIntervalSinceNow) < 60)
        await member.close()
        await producer.close()
    }

    @Test("a batch takes what is there, up to its limit, and never waits for more")
    func batches() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic(partitions: 1)
        let producer = try KafkaProducer(configuration: broker.configuration)
        try await producer.send((0..<250).map { message(topic, $0) })
        let consumer = try KafkaConsumer(
            configuration: broker.configuration, group: TestBroker.uniqueName("group"), topics: [topic])
        let partition = try await firstPartition(of: consumer)
        var sizes: [Int] = []
        while sizes.reduce(0, +) < 250 {
            sizes.append(try #require(await partition.next(max: 100)).count)
        }
        #expect(sizes.allSatisfy { $0 <= 100 })
        #expect(sizes.contains(100), "250 records that are there make full batches")
        try await producer.send([message(topic, 250)])
        let last = try #require(await partition.next(max: 100))
        #expect(last.map { text($0.value) } == ["250"])
        await consumer.close(within: .seconds(1))
        await producer.close()
    }

    @Test(
        "a consumer that is closed in haste while it holds partitions leaves no thread behind",
        .enabled(if: FileManager.default.fileExists(atPath: "/proc/self/task"), "needs /proc"))
    func haste() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic()
        let before = try Self.clients()
        for limit in [Duration.zero, .milliseconds(100)] {
            let consumer = try KafkaConsumer(
                configuration: broker.configuration, group: TestBroker.uniqueName("group"), topics: [topic])
            // Nobody answers the revocation that closing brings.
            _ = try await firstPartition(of: consumer)
            await consumer.close(within: limit)
        }
        #expect(try await eventually(within: .seconds(20)) { try Self.clients() <= before })
    }

    /// Clients of librdkafka in this process that have not ended, by their main threads.
    private static func clients() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count { id in
            // A thread may be gone by now.
            (try? String(contentsOfFile: "/proc/self/task/\(id)/comm", encoding: .utf8)) == "rdk:main\n"
        }
    }
}
