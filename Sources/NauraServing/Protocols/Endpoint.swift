import Foundation

/// What a path names, whatever the method.
enum Endpoint: Equatable {
    case alive
    case live
    case ready
    /// `/v2`
    case server
    /// `/v1/models`
    case modelsV1
    /// `/v2/models`
    case modelsV2
    case modelV1(String)
    case predict(String, version: String?)
    case model(String, version: String?)
    case modelReady(String, version: String?)
    case infer(String, version: String?)
    case predictByKey(String)
    case repositoryIndex

    /// The endpoint at `path`, which may carry a query; nil when there is none.
    init?(path: String) {
        let bare = path.prefix { $0 != "?" }
        guard bare.first == "/" else { return nil }
        var parts: [String] = []
        for part in bare.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            guard let decoded = part.removingPercentEncoding else { return nil }
            parts.append(decoded)
        }
        // `/v2/` is `/v2`.
        if parts.count > 1, parts.last == "" { parts.removeLast() }
        self.init(parts: parts[...])
    }

    private init?(parts: ArraySlice<String>) {
        switch (parts.first, parts.count) {
        case ("", 1): self = .alive
        case ("health", 2) where parts[1] == "live": self = .live
        case ("health", 2) where parts[1] == "ready": self = .ready
        case ("predict", 2) where !parts[1].isEmpty: self = .predictByKey(parts[1])
        case ("v1", 2) where parts[1] == "models": self = .modelsV1
        case ("v1", 3...) where parts[1] == "models": self.init(v1: parts.dropFirst(2))
        case ("v2", 1): self = .server
        case ("v2", 3) where parts[1] == "health" && parts[2] == "live": self = .live
        case ("v2", 3) where parts[1] == "health" && parts[2] == "ready": self = .ready
        case ("v2", 3) where parts[1] == "repository" && parts[2] == "index": self = .repositoryIndex
        case ("v2", 2) where parts[1] == "models": self = .modelsV2
        case ("v2", 3...) where parts[1] == "models": self.init(v2: parts.dropFirst(2))
        default: return nil
        }
    }

    /// `NAME`, `NAME:predict`, `NAME/versions/V:predict`
    private init?(v1 parts: ArraySlice<String>) {
        let parts = Array(parts)
        let verb = ":predict"
        guard let last = parts.last else { return nil }
        let isPredict = last.hasSuffix(verb)
        let bare = isPredict ? String(last.dropLast(verb.count)) : last
        switch parts.count {
        case 1 where !bare.isEmpty: self = isPredict ? .predict(bare, version: nil) : .modelV1(bare)
        case 3 where parts[1] == "versions" && isPredict && !bare.isEmpty: self = .predict(parts[0], version: bare)
        default: return nil
        }
    }

    /// `NAME[/versions/V][/ready | /infer]`
    private init?(v2 parts: ArraySlice<String>) {
        var rest = Array(parts)
        let name = rest.removeFirst()
        guard !name.isEmpty else { return nil }
        var version: String?
        if rest.count >= 2, rest[0] == "versions" {
            version = rest[1]
            rest.removeFirst(2)
        }
        switch rest {
        case []: self = .model(name, version: version)
        case ["ready"]: self = .modelReady(name, version: version)
        case ["infer"]: self = .infer(name, version: version)
        default: return nil
        }
    }

    /// The methods that the endpoint takes.
    var isPost: Bool {
        switch self {
        case .predict, .infer, .predictByKey, .repositoryIndex: true
        default: false
        }
    }

    /// Whether anybody may ask, also without the token.
    var isHealth: Bool { self == .live || self == .ready || self == .alive }
}
