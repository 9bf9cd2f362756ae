import Foundation

/// Data has arrived and waits at a place.
public struct NewData: EventPayload, Equatable {
    public static let type: EventType = "new-data"

    /// How the bytes are to be read.
    public enum Format: String, Codable, Sendable, CaseIterable {
        case csv, jsonl, parquet

        /// The format that the ending of `uri` suggests; CSV when it suggests none.
        public static func suggested(by uri: String) -> Format {
            let path = uri.prefix { $0 != "?" && $0 != "#" }.lowercased()
            if path.hasSuffix(".jsonl") || path.hasSuffix(".ndjson") { return .jsonl }
            return path.hasSuffix(".parquet") ? .parquet : .csv
        }
    }

    public let dataset: DatasetID
    /// Where the bytes are: file, http, https or s3.
    public let uri: String
    /// Optional in JSON: then ``Format/suggested(by:)`` the URI.
    public let format: Format
    /// What the bytes must hash to: 64 lower-case hex digits.
    public let sha256: String?
    /// The time that the data speaks of.
    public let window: TimeWindow?
    /// True for old data that a backfill brings in: worked on last, and no model of it deploys by itself.
    public let backfill: Bool?

    public init(
        dataset: DatasetID, uri: String, format: Format? = nil, sha256: String? = nil, window: TimeWindow? = nil,
        backfill: Bool? = nil
    ) {
        self.dataset = dataset
        self.uri = uri
        self.format = format ?? .suggested(by: uri)
        self.sha256 = sha256
        self.window = window
        self.backfill = backfill
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            dataset: try container.decode(DatasetID.self, forKey: .dataset),
            uri: try container.decode(String.self, forKey: .uri),
            format: try container.decodeIfPresent(Format.self, forKey: .format),
            sha256: try container.decodeIfPresent(String.self, forKey: .sha256),
            window: try container.decodeIfPresent(TimeWindow.self, forKey: .window),
            backfill: try container.decodeIfPresent(Bool.self, forKey: .backfill))
    }

    private enum CodingKeys: String, CodingKey { case dataset, uri, format, sha256, window, backfill }

    public var subject: String { dataset.rawValue }
    public var isWellFormed: Bool {
        Check.name(dataset) && Check.uri(uri) && Check.dataScheme(uri) && Check.sha256(sha256)
            && (window?.isWellFormed ?? true)
    }
}

/// A span of time, from inclusive to exclusive.
public struct TimeWindow: Codable, Sendable, Equatable {
    public let from: Date
    public let to: Date

    public init(from: Date, to: Date) {
        self.from = from
        self.to = to
    }

    var isWellFormed: Bool { true }
}
