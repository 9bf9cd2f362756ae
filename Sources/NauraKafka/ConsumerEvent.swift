/// What happens to a consumer beside the records.
public enum ConsumerEvent: Sendable {
    /// These partitions are now ours, in addition to those we had; ask ``KafkaConsumer/partition(_:)`` for each.
    case assigned([TopicPartition])
    /// These partitions go to somebody else. Their readers get nil from now on.
    ///
    /// Finish or roll back what is open, commit its offsets unless `lost`, then call `done`: the partitions are given up
    /// after that, or after 15 s. Lost ones have an owner already, so nothing can be committed for them.
    case revoked([TopicPartition], lost: Bool, done: @Sendable () -> Void)
    /// The broker behind the address is another cluster than before (a memory-only broker came back empty).
    ///
    /// All partitions were lost before, and come back at what the new cluster has on record for the group, else at
    /// the beginning.
    case clusterChanged(previous: String, current: String)
    /// Something is wrong that the consumer waits out by itself; a kind is told once until it has passed.
    case fault(KafkaError)
}
