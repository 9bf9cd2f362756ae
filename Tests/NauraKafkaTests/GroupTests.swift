import Foundation
import NauraKafka
import NauraTestKit
import Synchronization
import Testing

@Suite(.enabled(if: TestBroker.isAvailable, "needs the program tansu"), .timeLimit(.minutes(2)))
struct GroupTests {
    @Test("two members share the partitions, and each record is handled by one of them")
    func sharing() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic()
        let group = TestBroker.uniqueName("group")
        let producer = try KafkaProducer(configuration: broker.configuration)
        // On a busy machine a member may miss its heartbeats for two seconds, and would read some records again.
        var configuration = broker.configuration
        configuration.sessionTimeout = .seconds(10)
        configuration.leavesGroup = true
        let one = try Member(configuration, group: group, topics: [topic])
        await one.wait { $0.held.count == 4 }
        let two = try Member(configuration, group: group, topics: [topic])
        await two.wait { $0.held.count == 2 }
        await one.wait { $0.held.count == 2 }
        #expect(one.state.held.isDisjoint(with: two.state.held))
        try await producer.send((0..<400).map { message(topic, $0) })
        while one.state.records.count + two.state.records.count < 400 {
            let (first, second) = (one.state.records.count, two.state.records.count)
            await withTaskGroup { group in
                group.addTask { await one.wait { $0.records.count > first } }
                group.addTask { await two.wait { $0.records.count > second } }
                await group.next()
                group.cancelAll()
            }
        }
        let numbers = (one.state.records + two.state.records).map { Int(text($0.value)) ?? -1 }.sorted()
        let isCalm = (one.state.revocations + two.state.revocations).allSatisfy { !$0.lost }
        #expect(isCalm ? numbers == Array(0..<400) : Set(numbers) == Set(0..<400))
        await one.close()
        await two.wait { $0.held.count == 4 }
        await two.close()
        await producer.close()
    }

    @Test("a revoked partition's batch is finished and committed before the next owner gets the partition")
    func revocation() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic(partitions: 2)
        let group = TestBroker.uniqueName("group")
        let producer = try KafkaProducer(configuration: broker.configuration)
        let gate = Gate()
        var configuration = broker.configuration
        configuration.sessionTimeout = .seconds(10)
        let slow = try Member(configuration, group: group, topics: [topic], batch: 10) { _ in
            await gate.pass()
        }
        await slow.wait { $0.held.count == 2 }
        try await producer.send((0..<400).map { message(topic, $0) })
        await gate.waitForVisitors(2)
        let next = try Member(configuration, group: group, topics: [topic], batch: 10)
        await slow.wait { $0.leaving.count == 1 }
        #expect(next.state.held.isEmpty && slow.state.records.isEmpty, "the open batch keeps the partition")
        gate.open()
        await next.wait { $0.held.count == 1 }
        await slow.wait { $0.held.count == 1 }
        let moved = try #require(next.state.held.first)
        let before = slow.state.records.filter { $0.partition == moved.partition }.map(\.offset).max() ?? -1
        await next.wait { !$0.records.isEmpty }
        let first = try #require(next.state.records.map(\.offset).min())
        // A machine so busy that a member is taken for dead makes it read again; nothing may be skipped even then.
        let isCalm = slow.state.revocations.allSatisfy { !$0.lost } && slow.state.failedCommits.isEmpty
        #expect(isCalm ? first == before + 1 : first <= before + 1, "the next owner begins where the commit stands")
        await slow.close()
        await next.close()
        await producer.close()
    }

    @Test("a group forms anew however its leader goes while another member comes")
    func comingAndGoing() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic()
        let group = TestBroker.uniqueName("group")
        for turn in 0..<3 {
            let leader = try Member(broker.configuration, group: group, topics: [topic])
            await leader.wait { $0.held.count == 4 }
            let comer = try Member(broker.configuration, group: group, topics: [topic])
            // The moment is what is tried, not waited for: early, and in the midst of the comer's joining.
            try await Task.sleep(for: .milliseconds(100 + 300 * turn))
            async let left: Void = leader.close()
            await comer.close()
            await left
        }
    }

    @Test("the partitions of a member that was killed move to the others")
    func death() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic()
        let group = TestBroker.uniqueName("group")
        // kcat is a member that can be killed.
        let victim = Process()
        victim.executableURL = URL(filePath: "/usr/bin/kcat")
        victim.arguments = [
            "-b", broker.brokers, "-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=400", "-X",
            "partition.assignment.strategy=cooperative-sticky", "-q", "-G", group, topic,
        ]
        victim.standardOutput = FileHandle.nullDevice
        victim.standardError = FileHandle.nullDevice
        try victim.run()
        let member = try Member(broker.configuration, group: group, topics: [topic])
        await member.wait { !$0.held.isEmpty }
        kill(victim.processIdentifier, SIGKILL)
        victim.waitUntilExit()
        await member.wait { $0.held.count == 4 }
        await member.close()
    }

    @Test("a full queue stops the fetching of its partition, also after a rebalance, while others go on")
    func backlog() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic(partitions: 2)
        let group = TestBroker.uniqueName("group")
        var configuration = broker.configuration
        configuration.sessionTimeout = .seconds(10)
        configuration.backlogRecordsMax = 100
        configuration.backlogKilobytesMax = 100
        let producer = try KafkaProducer(configuration: configuration)
        // 5 MB in each partition; 100 KiB and one fetch (1 MiB) may wait in memory.
        let body = [UInt8](repeating: 65, count: 1_000)
        let keys = [key(for: 0, of: 2), key(for: 1, of: 2)]
        for _ in 0..<50 {
            try await producer.send(
                (0..<200).map { KafkaMessage(topic: topic, key: keys[$0 % 2], value: body) })
        }
        let consumer = try KafkaConsumer(configuration: configuration, group: group, topics: [topic])
        var events = consumer.events().makeAsyncIterator()
        _ = await events.next()
        let idle = try #require(consumer.partition(TopicPartition(topic: topic, partition: 0)))
        var busy = try #require(consumer.partition(TopicPartition(topic: topic, partition: 1)))
        #expect(try await drain(busy, 5_000) == 5_000)
        #expect((1...2_000).contains(idle.backlog), "\(idle.backlog) records wait")

        // A second member comes and goes: the partition that stays is still bounded, the other begins anew.
        let guest = try Member(configuration, group: group, topics: [topic])
        var moved: TopicPartition?
        while moved == nil, let event = await events.next() {
            guard case .revoked(let partitions, _, let done) = event else { continue }
            moved = partitions.first
            done()
        }
        await guest.wait { $0.held.count == 1 }
        await guest.close()
        let back = try #require(moved)
        while consumer.partition(back)?.isHeld != true, let event = await events.next() {
            if case .revoked(_, _, let done) = event { done() }
        }
        let stays = try #require(consumer.partition(TopicPartition(topic: topic, partition: 0)))
        busy = try #require(consumer.partition(TopicPartition(topic: topic, partition: 1)))
        try await producer.send((0..<2_000).map { _ in KafkaMessage(topic: topic, key: keys[1], value: body) })
        _ = try await drain(busy, 2_000)
        #expect((1...2_000).contains(stays.backlog), "\(stays.backlog) records wait")
        await consumer.close(within: .seconds(1))
        await producer.close()
    }

    @Test("the lag counts what was not read yet, also of a partition of which nothing was read")
    func lag() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic(partitions: 1)
        let group = TestBroker.uniqueName("group")
        let producer = try KafkaProducer(configuration: broker.configuration)
        try await producer.send((0..<30).map { message(topic, $0) })
        let consumer = try KafkaConsumer(configuration: broker.configuration, group: group, topics: [topic])
        let partition = try await firstPartition(of: consumer)
        while consumer.lag() != 30 { await Task.yield() }
        let records = try #require(await partition.next(max: 10))
        while consumer.lag() != 30 - Int64(records.count) { await Task.yield() }
        try await consumer.commit([partition.topicPartition: 10])
        await consumer.close(within: .seconds(1))
        let next = try KafkaConsumer(configuration: broker.configuration, group: group, topics: [topic])
        _ = try await firstPartition(of: next)
        while next.lag() != 20 { await Task.yield() }
        await next.close(within: .seconds(1))
        await producer.close()
    }

    @Test("an offset of a partition that is not held is refused")
    func foreignCommit() async throws {
        let broker = try await TestBroker.shared()
        let topic = try await broker.makeTopic(partitions: 1)
        let member = try Member(broker.configuration, group: TestBroker.uniqueName("group"), topics: [topic])
        await member.wait { $0.held.count == 1 }
        await #expect(throws: KafkaError.self) {
            try await member.consumer.commit([TopicPartition(topic: topic, partition: 7): 1])
        }
        await member.close()
        await #expect(throws: KafkaError.self) {
            try await member.consumer.commit([TopicPartition(topic: topic, partition: 0): 1])
        }
    }

    private func drain(_ partition: KafkaPartition, _ count: Int) async throws -> Int {
        var taken = 0
        while taken < count {
            taken += try #require(await partition.next(max: 500)).count
        }
        return taken
    }

    private func key(for partition: Int32, of count: Int32) -> [UInt8] {
        (0...).lazy.map { Array("key\($0)".utf8) }.first {
            KafkaPartitioner.partition(of: $0, partitions: count) == partition
        } ?? []
    }
}

/// A place where handlers are held up until it opens.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var visitors = 0
        var held: [CheckedContinuation<Void, Never>] = []
        var watchers: [(count: Int, watcher: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    func pass() async {
        await withCheckedContinuation { continuation in
            let (isOpen, watchers) = state.withLock { state in
                state.visitors += 1
                if !state.isOpen { state.held.append(continuation) }
                let due = state.watchers.filter { $0.count <= state.visitors }
                state.watchers.removeAll { $0.count <= state.visitors }
                return (state.isOpen, due)
            }
            for one in watchers { one.watcher.resume() }
            if isOpen { continuation.resume() }
        }
    }

    func waitForVisitors(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.visitors >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    func open() {
        let held = state.withLock { state in
            state.isOpen = true
            defer { state.held = [] }
            return state.held
        }
        for one in held { one.resume() }
    }
}
