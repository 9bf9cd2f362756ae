/// A way to reach people.
public enum NotifyChannel: Sendable, Equatable {
    /// A JSON message posted to `url`.
    case webhook(url: String)
    /// A line in the notify worker's log.
    case log

    /// The word of the project file: `webhook` or `log`.
    public var kind: String {
        switch self {
        case .webhook: "webhook"
        case .log: "log"
        }
    }

    /// The webhook's address; nil for the log.
    public var url: String? {
        if case .webhook(let url) = self { url } else { nil }
    }
}

extension NotifyChannel: Codable {
    private enum CodingKeys: String, CodingKey { case kind, url }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(String.self, forKey: .kind) {
        case "webhook": self = .webhook(url: try container.decode(String.self, forKey: .url))
        case "log": self = .log
        case let other:
            throw DecodingError.dataCorruptedError(
                forKey: .kind, in: container, debugDescription: "a channel's kind is webhook or log, found \(other)")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(kind, forKey: .kind)
        try container.encodeIfPresent(url, forKey: .url)
    }
}
