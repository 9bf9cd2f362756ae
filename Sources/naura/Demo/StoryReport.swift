/// What was seen of the story, step by step: `.naura/demo-report.json`.
struct StoryReport: Codable, Sendable {
    /// One step of the story.
    struct Step: Codable, Sendable {
        let number: Int
        let name: String
        /// Whether all of it was seen to happen.
        var ok: Bool
        var seconds: Double
        /// Why not, when it was not.
        var fault: String?
        /// Ids of the events concerned, in the order in which the step met them.
        var events: [String]
        var run: String?
        var model: String?
        var version: Int?
        var rollout: Int?

        private enum CodingKeys: String, CodingKey {
            case number, name, ok, seconds, fault, events, run, model, version, rollout
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(number, forKey: .number)
            try container.encode(name, forKey: .name)
            try container.encode(ok, forKey: .ok)
            try container.encode(seconds, forKey: .seconds)
            // A reader finds each key in each step: absent values are null.
            try container.encode(fault, forKey: .fault)
            try container.encode(events, forKey: .events)
            try container.encode(run, forKey: .run)
            try container.encode(model, forKey: .model)
            try container.encode(version, forKey: .version)
            try container.encode(rollout, forKey: .rollout)
        }
    }

    /// Whether every step was seen.
    var ok: Bool
    /// From the first step to the last.
    var seconds: Double
    var steps: [Step]

    static let file = "demo-report.json"
}
