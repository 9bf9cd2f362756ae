import NauraKafka
import NauraTestKit
import Synchronization
import Testing

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

func message(_ topic: String, _ number: Int, key: String? = nil) -> KafkaMessage {
    KafkaMessage(topic: topic, key: Array((key ?? "k\(number)").utf8), value: Array("\(number)".utf8))
}

/// The first partition that `consumer` is given.
func firstPartition(of consumer: KafkaConsumer) async throws -> KafkaPartition {
    for await event in consumer.events() {
        if case .assigned(let partitions) = event, let first = partitions.first {
            return try #require(consumer.partition(first))
        }
    }
    throw KafkaError(.closed, "the consumer ended")
}

/// A consumer as a stage uses it: one serial reader a partition, which commits each batch.
final class Member: Sendable {
    struct Seen {
        var records: [KafkaRecord] = []
        var held: Set<TopicPartition> = []
        /// What is being taken away while a batch of it may still be open.
        var leaving: Set<TopicPartition> = []
        var revocations: [(partitions: [TopicPartition], lost: Bool)] = []
        var clusterChanges = 0
        var faults: [KafkaError] = []
        var failedCommits: [KafkaError] = []
    }

    let consumer: KafkaConsumer
    private let seen = Mutex(Seen())
    private let runner = Mutex<Task<Void, Never>?>(nil)
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    /// - Parameter handle: called with each batch before its commit.
    init(
        _ configuration: KafkaConfiguration, group: String, topics: [String], batch: Int = 100,
        handle: @escaping @Sendable ([KafkaRecord]) async -> Void = { _ in }
    ) throws {
        consumer = try KafkaConsumer(configuration: configuration, group: group, topics: topics)
        (changes, changed) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        runner.withLock { $0 = Task { await self.run(batch, handle) } }
    }

    var state: Seen { seen.withLock { $0 } }

    /// Waits until `condition` holds, looking again at each change.
    func wait(until condition: @Sendable (Seen) -> Bool) async {
        if condition(state) { return }
        for await _ in changes where condition(state) { return }
    }

    /// Waits for `count` records and returns all that were seen.
    func collect(_ count: Int) async throws -> [KafkaRecord] {
        await wait { $0.records.count >= count }
        return state.records
    }

    func close() async {
        await consumer.close()
        await runner.withLock { $0 }?.value
    }

    private func change(_ body: (inout sending Seen) -> Void) {
        seen.withLock { body(&$0) }
        changed.yield()
    }

    private func run(_ batch: Int, _ handle: @escaping @Sendable ([KafkaRecord]) async -> Void) async {
        await withTaskGroup { group in
            let readers = Mutex<[TopicPartition: Task<Void, Never>]>([:])
            for await event in consumer.events() {
                switch event {
                case .assigned(let partitions):
                    change { $0.held.formUnion(partitions) }
                    for one in partitions {
                        guard let partition = consumer.partition(one) else { continue }
                        let reader = Task { await self.read(partition, batch, handle) }
                        readers.withLock { $0[one] = reader }
                    }
                case .revoked(let partitions, let lost, let done):
                    change { $0.leaving.formUnion(partitions) }
                    let ending = readers.withLock { readers in partitions.compactMap { readers.removeValue(forKey: $0) }
                    }
                    group.addTask {
                        for reader in ending { await reader.value }
                        self.change { seen in
                            seen.held.subtract(partitions)
                            seen.leaving.subtract(partitions)
                            seen.revocations.append((partitions, lost))
                        }
                        done()
                    }
                case .clusterChanged: change { $0.clusterChanges += 1 }
                case .fault(let error): change { $0.faults.append(error) }
                }
            }
        }
        changed.finish()
    }

    private func read(
        _ partition: KafkaPartition, _ batch: Int, _ handle: @Sendable ([KafkaRecord]) async -> Void
    ) async {
        while let records = await partition.next(max: batch) {
            await handle(records)
            change { $0.records += records }
            guard let last = records.last else { continue }
            do {
                try await consumer.commit([partition.topicPartition: last.offset + 1])
            } catch {
                change { $0.failedCommits.append(error) }
            }
        }
    }
}
