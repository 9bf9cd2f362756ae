/// When a model is trained again.
public struct RetrainPolicy: Sendable, Equatable {
    /// The kinds of event that ask for a training. A request by hand and a calendar slot always do.
    public var on: Set<TriggerKind>
    /// Five cron fields; nil for no calendar.
    public var cron: String?
    /// The IANA zone in which `cron` is read.
    public var timeZone: String
    /// How long no further trigger must come before a training starts.
    public var quietPeriodSeconds: Double
    /// How long after the start of a training no other starts.
    public var cooldownSeconds: Double
    /// The most trainings started within any 7 days; nil for no limit.
    public var atMostPerWeek: Int?

    public init(
        on: Set<TriggerKind> = [.newData, .codeMerged, .driftAlert], cron: String? = nil, timeZone: String = "UTC",
        quietPeriodSeconds: Double = 30, cooldownSeconds: Double = 3_600, atMostPerWeek: Int? = nil
    ) {
        self.on = on
        self.cron = cron
        self.timeZone = timeZone
        self.quietPeriodSeconds = quietPeriodSeconds
        self.cooldownSeconds = cooldownSeconds
        self.atMostPerWeek = atMostPerWeek
    }

    /// Whether a trigger of this kind asks for a training.
    public func listens(to kind: TriggerKind) -> Bool {
        kind == .retrainDue || on.contains(kind)
    }
}

extension RetrainPolicy: Codable {
    private enum CodingKeys: String, CodingKey {
        case on, cron, timeZone, quietPeriodSeconds, cooldownSeconds, atMostPerWeek
    }

    /// A key that an older program did not know takes its default.
    public init(from decoder: any Decoder) throws {
        self.init()
        let stored = try decoder.container(keyedBy: CodingKeys.self)
        on = try stored.decodeIfPresent([TriggerKind].self, forKey: .on).map { Set($0) } ?? on
        cron = try stored.decodeIfPresent(String.self, forKey: .cron)
        timeZone = try stored.decodeIfPresent(String.self, forKey: .timeZone) ?? timeZone
        quietPeriodSeconds =
            try stored.decodeIfPresent(Double.self, forKey: .quietPeriodSeconds) ?? quietPeriodSeconds
        cooldownSeconds = try stored.decodeIfPresent(Double.self, forKey: .cooldownSeconds) ?? cooldownSeconds
        atMostPerWeek = try stored.decodeIfPresent(Int.self, forKey: .atMostPerWeek)
    }

    /// Writes the kinds sorted, so that equal policies have equal bytes.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(on.sorted { $0.rawValue < $1.rawValue }, forKey: .on)
        try container.encodeIfPresent(cron, forKey: .cron)
        try container.encode(timeZone, forKey: .timeZone)
        try container.encode(quietPeriodSeconds, forKey: .quietPeriodSeconds)
        try container.encode(cooldownSeconds, forKey: .cooldownSeconds)
        try container.encodeIfPresent(atMostPerWeek, forKey: .atMostPerWeek)
    }
}

/// What asked for a training; the event type's own word.
public enum TriggerKind: String, Codable, Sendable, CaseIterable {
    /// New rows of a dataset that the model reads have become features.
    case newData = "new-data"
    /// Code that concerns the model was merged.
    case codeMerged = "code-merged"
    /// Live traffic drifted from what the model was trained on.
    case driftAlert = "drift-alert"
    /// A calendar slot came due, or someone asked.
    case retrainDue = "retrain-due"
}
