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
