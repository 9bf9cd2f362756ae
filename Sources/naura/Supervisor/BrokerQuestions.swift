import NauraKafka

/// Questions to a broker, each with a client of its own.
enum BrokerQuestions {
    /// The cluster's id.
    /// - Throws: ``KafkaError`` when no broker answers within three seconds.
    static func clusterID(_ configuration: KafkaConfiguration) async throws -> String? {
        try await ask(configuration) { try await $0.metadata(within: .seconds(3)).clusterID }
    }

    /// Makes the topics `names` where they are missing.
    static func makeTopics(_ names: [String], partitions: Int, at brokers: String) async throws {
        try await ask(KafkaConfiguration(brokers: brokers)) { try await $0.createTopics(names, partitions: partitions) }
    }

    /// How far each worker's group is behind in its topics.
    static func backlog(
        of topics: [String: [String]], with configuration: KafkaConfiguration
    ) async throws -> [String: [PartitionBacklog]] {
        try await ask(configuration) { admin in
            var found: [String: [PartitionBacklog]] = [:]
            for (worker, topics) in topics {
                found[worker] = try await admin.backlog(of: "naura-\(worker)", topics: topics, within: .seconds(3))
            }
            return found
        }
    }

    private static func ask<R>(
        _ configuration: KafkaConfiguration, _ question: (KafkaAdmin) async throws -> R
    ) async throws -> R {
        let admin = try KafkaAdmin(configuration: configuration, logger: Connection.quiet)
        let result: Result<R, any Error>
        do {
            result = .success(try await question(admin))
        } catch {
            result = .failure(error)
        }
        await admin.close()
        return try result.get()
    }
}
