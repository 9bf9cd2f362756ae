/// All events of Naura: which type has which schema, who says it and who listens. `schemas/asyncapi.yaml` says the
/// same to other programs; a test holds the two against each other.
public enum EventCatalogue {
    /// One type of event. Behind one reference: it is looked up several times an event.
    public final class Entry: Sendable {
        public let type: EventType
        public let version: Int
        /// The payload's field that is the Kafka key, as JSON spells it.
        public let keyField: String
        /// One sentence: what has happened.
        public let summary: String
        /// Names of workers; `naura` is the command line, `outside` stands for any other program.
        public let producers: [String]
        public let consumers: [String]
        /// The Swift type's name.
        let payloadName: String
        /// The type and the data schema as records hold them.
        let typeBytes: [UInt8]
        let dataSchemaBytes: [UInt8]
        let decode: @Sendable ([UInt8]) throws(EventFault) -> any EventPayload

        /// The file of the JSON Schema in `schemas/`.
        public var schemaFile: String { "\(type).v\(version).json" }
        /// The file of the sample in `schemas/`.
        public var sampleFile: String { "\(type).v\(version).sample.json" }
        /// What the event's `dataschema` attribute says.
        public let dataSchema: String

        /// Whether `schema` is this type's `dataschema`, of any version: programs of the release before and after speak
        /// to this one while they are exchanged, and whether a body can be read is seen from its fields.
        func isVersion(_ schema: String) -> Bool {
            let prefix = "\(EventCatalogue.dataSchemaPrefix)\(type):v"
            return schema.hasPrefix(prefix) && Int(schema.dropFirst(prefix.count)) != nil
        }

        init<P: EventPayload>(
            _ payload: P.Type, key: String, _ summary: String, from producers: [String], to consumers: [String]
        ) {
            type = P.type
            version = P.version
            keyField = key
            self.summary = summary
            self.producers = producers
            self.consumers = consumers
            payloadName = String(describing: P.self)
            dataSchema = "\(EventCatalogue.dataSchemaPrefix)\(P.type):v\(P.version)"
            typeBytes = Array(P.type.rawValue.utf8)
            dataSchemaBytes = Array(dataSchema.utf8)
            decode = { body throws(EventFault) in try EventSchema.decode(P.self, from: body) }
        }
    }

    /// What `dataschema` attributes of Naura's events begin with.
    public static let dataSchemaPrefix = "urn:naura:schema:"

    /// Events that are counted one by one, and that nothing follows. The others may begin or continue a chain.
    public static let counted: Set<EventType> = [Predictions.type, GroundTruth.type, ServingWindow.type]

    /// In the order of the loop.
    public static let entries: [Entry] = [
        Entry(
            NewData.self, key: "dataset", "Data has arrived and waits at a place.",
            from: ["api", "naura", "outside"], to: ["validate"]),
        Entry(
            DataValidated.self, key: "dataset", "A snapshot is named by its content and obeys its contract.",
            from: ["validate"], to: ["featurize"]),
        Entry(
            DataRejected.self, key: "dataset", "A snapshot could not be read, or breaks its contract.",
            from: ["validate", "featurize"], to: ["notify"]),
        Entry(
            FeaturesReady.self, key: "dataset", "Feature rows of a snapshot can be read.", from: ["featurize"],
            to: ["train"]),
        Entry(
            CodeMerged.self, key: "repository", "Code was merged into a branch.", from: ["api", "naura", "outside"],
            to: ["train"]),
        Entry(
            RetrainDue.self, key: "model", "The calendar or a person wants a model trained again.",
            from: ["schedule", "api", "naura", "outside"], to: ["train"]),
        Entry(
            DriftAlert.self, key: "model", "Live traffic has left, or regained, what a version was trained on.",
            from: ["monitor", "api", "naura", "outside"], to: ["train", "notify"]),
        Entry(
            ModelTrained.self, key: "model", "A training has ended with a new version.", from: ["train"],
            to: ["promote"]),
        Entry(
            ModelPromoted.self, key: "model", "A version has passed the gate, or a person has let it through.",
            from: ["promote", "api", "naura"], to: ["rollout"]),
        Entry(
            ModelRejected.self, key: "model", "A version was refused by the gate, or is no news.",
            from: ["promote", "rollout"], to: ["notify"]),
        Entry(
            RolloutChanged.self, key: "model", "A rollout took a step, stands still, or has ended.",
            from: ["rollout"], to: ["notify"]),
        Entry(
            ServingWindow.self, key: "model", "What one gateway saw of one model in a fifth of a second.",
            from: ["serve"], to: ["rollout"]),
        Entry(
            Predictions.self, key: "model", "Answers that a gateway gave.", from: ["serve", "naura", "outside"],
            to: ["monitor"]),
        Entry(
            GroundTruth.self, key: "model", "What turned out to be true for earlier predictions.",
            from: ["api", "naura", "outside"], to: ["monitor"]),
        Entry(
            DeadLetter.self, key: "key", "A record or a job failed for good.",
            from: [
                "validate", "featurize", "schedule", "train", "promote", "rollout", "monitor", "notify",
            ], to: ["notify"]),
    ]

    /// The types, each also the name of a topic.
    public static let types: [EventType] = entries.map(\.type)

    private static let byType: [EventType: Entry] = Dictionary(uniqueKeysWithValues: entries.map { ($0.type, $0) })

    /// The entry of `type`; nil when Naura does not know it.
    public static func entry(for type: EventType) -> Entry? { byType[type] }

    /// Decodes `body` as the payload of `type`, whichever it is.
    /// - Throws: ``EventFault`` naming the field at fault, or saying that the type is unknown.
    public static func payload(of type: EventType, body: [UInt8]) throws(EventFault) -> any EventPayload {
        guard let entry = entry(for: type) else {
            let known = types.map(\.rawValue).joined(separator: ", ")
            throw EventFault(.unknownType, "`\(type)` is no event of Naura; there are \(known)")
        }
        return try entry.decode(body)
    }
}
