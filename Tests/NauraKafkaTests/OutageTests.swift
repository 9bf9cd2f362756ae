import Foundation
import NauraKafka
import NauraTestKit
import Synchronization
import Testing

@Suite(.enabled(if: TestBroker.isAvailable, "needs the program tansu"), .timeLimit(.minutes(2)))
struct OutageTests {
    @Test("consumer and producer survive a broker that comes back empty, and no record of the new one is skipped")
    func emptyRestart() async throws {
        let broker = try await TestBroker()
        let topic = try await broker.makeTopic()
        let producer = try KafkaProducer(configuration: broker.configuration)
        let member = try Member(broker.configuration, group: "group", topics: [topic])
        try await producer.send((0..<100).map { message(topic, $0) })
        _ = try await member.collect(100)
        let before = broker.admin
        let first = try await before.metadata().clusterID

        try await broker.kill()
        await member.wait { !$0.faults.isEmpty }
        try await broker.restartEmpty()
        #expect(try await broker.admin.waitUntilAvailable().clusterID != first)
        try await broker.admin.createTopics([topic])
        // More than before: a consumer that went on at its old offsets would miss the first of them.
        try await sendPatiently((1_000..<1_300).map { message(topic, $0) }, by: producer)
        await member.wait { seen in
            Set(seen.records.map { text($0.value) }).isSuperset(of: (1_000..<1_300).map { "\($0)" })
        }
        await member.wait { $0.clusterChanges == 1 }
        await member.close()
        await producer.close()
        try await broker.kill()
    }

    @Test(
        "a broker that is killed under load and comes back empty, three times in a row, ends nobody, and each is served"
    )
    func emptyRestarts() async throws {
        let broker = try await TestBroker()
        let topic = try await broker.makeTopic()
        let producer = try KafkaProducer(configuration: broker.configuration)
        let member = try Member(broker.configuration, group: "group", topics: [topic])
        let numbers = Mutex(0)
        let load = Task {
            while !Task.isCancelled {
                let first = numbers.withLock { numbers in
                    numbers += 50
                    return numbers
                }
                // What was under way when the broker died comes again, as from an outbox.
                try await sendPatiently((first..<first + 50).map { message(topic, $0) }, by: producer)
                // The pace of the load.
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        @Sendable func hasSeen(_ state: Member.Seen, past number: Int) -> Bool {
            state.records.suffix(200).contains { (Int(text($0.value)) ?? 0) > number }
        }
        for _ in 0..<3 {
            let seen = numbers.withLock { $0 }
            await member.wait { hasSeen($0, past: seen) }
            try await broker.kill()
            // Everybody meets a closed door for a while.
            try await Task.sleep(for: .milliseconds(300))
            try await broker.restartEmpty()
            // One question alone: a client that was asked nothing since knows the old topics when the next broker comes.
            try await broker.admin.waitUntilAvailable()
            let other = try KafkaAdmin(configuration: broker.configuration)
            try await other.createTopics([topic])
            await other.close()
        }
        let last = numbers.withLock { $0 }
        await member.wait { hasSeen($0, past: last) }
        load.cancel()
        _ = await load.result
        await member.close()
        await producer.close()
        try await broker.kill()
    }

    @Test("a broker that freezes and goes on loses nothing and ends nobody")
    func freeze() async throws {
        let broker = try await TestBroker()
        let topic = try await broker.makeTopic()
        let producer = try KafkaProducer(configuration: broker.configuration)
        let member = try Member(broker.configuration, group: "group", topics: [topic])
        try await producer.send((0..<100).map { message(topic, $0) })
        _ = try await member.collect(100)
        try broker.freeze()
        let sending = Task { try await sendPatiently((100..<200).map { message(topic, $0) }, by: producer) }
        // Requests are under way when it goes on: their bytes lie unread at its sockets.
        while try !hasUnreadBytes(at: broker.configuration.brokers) { try await Task.sleep(for: .milliseconds(20)) }
        try broker.thaw()
        try await sending.value
        await member.wait { Set($0.records.map { text($0.value) }).count == 200 }
        await member.close()
        await producer.close()
        try await broker.kill()
    }

    @Test("closing comes back within its limit though the broker is gone")
    func closing() async throws {
        let broker = try await TestBroker()
        let topic = try await broker.makeTopic()
        let producer = try KafkaProducer(configuration: broker.configuration)
        let member = try Member(broker.configuration, group: "group", topics: [topic])
        try await producer.send((0..<100).map { message(topic, $0) })
        _ = try await member.collect(100)
        try await broker.kill()
        let clock = ContinuousClock()
        let time = await clock.measure {
            await member.consumer.close(within: .seconds(3))
            _ = producer.sendBuffered([message(topic, 1)])
            await producer.close(within: .seconds(2))
            await broker.admin.close()
        }
        #expect(time < .seconds(12))
    }

    @Test("the local broker is found again by pid and start time, and a stranger is neither used nor stopped")
    func localBroker() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "naura-\(UUID().uuidString)")
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: folder) } }
        let broker = LocalBroker(directory: folder)
        let first = try await broker.ensureRunning()
        let pid = try #require(try broker.processID())
        #expect(try await LocalBroker(directory: folder).ensureRunning() == first)
        #expect(try broker.processID() == pid)
        try await broker.stop()
        #expect(try broker.processID() == nil)
        // Something else takes the port meanwhile: another one is chosen, and the stranger is left alone.
        let stranger = LocalBroker(directory: folder.appending(path: "stranger"))
        let port = try #require(first.split(separator: ":").last.flatMap { Int($0) })
        #expect(try await stranger.ensureRunning(port: port) == first)
        let second = try await broker.ensureRunning()
        #expect(second != first)
        // A record that names a living process with another start time is not ours.
        let record = folder.appending(path: "broker.json")
        let text = try String(contentsOf: record, encoding: .utf8)
        let own = try #require(try broker.processID())
        let theirs = try #require(try stranger.processID())
        try text.replacing("\(own)", with: "\(theirs)").write(to: record, atomically: true, encoding: .utf8)
        try await broker.stop()
        #expect(try stranger.processID() == theirs)
        try text.write(to: record, atomically: true, encoding: .utf8)
        try await broker.stop()
        try await stranger.stop()
    }

    /// Whether a socket of this machine that `address` (`127.0.0.1:PORT`) accepted holds bytes that nobody has read.
    private func hasUnreadBytes(at address: String) throws -> Bool {
        let port = try #require(address.split(separator: ":").last.flatMap { Int($0) })
        let local = "0100007F:" + String(format: "%04X", port)
        return try String(contentsOfFile: "/proc/net/tcp", encoding: .utf8).split(separator: "\n").contains { line in
            let fields = line.split(separator: " ")
            return fields.count > 4 && fields[1] == local && !fields[4].hasSuffix(":00000000")
        }
    }

    private func sendPatiently(_ messages: [KafkaMessage], by producer: KafkaProducer) async throws {
        while true {
            do {
                return try await producer.send(messages)
            } catch let error as KafkaError where error.isTransient {
                continue
            }
        }
    }
}
