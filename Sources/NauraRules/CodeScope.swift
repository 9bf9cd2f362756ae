/// Which merges concern a model.
public struct CodeScope: Codable, Sendable, Equatable {
    /// The repository, as the event's subject names it: `acme/churn`.
    public var repository: String
    /// The ref; nil for any.
    public var ref: String?
    /// Path patterns: `*` within a folder, `**` across folders, `?` one character. Empty for all paths.
    public var paths: [String]

    public init(repository: String, ref: String? = nil, paths: [String] = []) {
        self.repository = repository
        self.ref = ref
        self.paths = paths
    }

    /// Whether a merge into `ref` of `repository` that changed `changed` concerns the model.
    ///
    /// A merge that does not say what it changed (empty `changed`) concerns it: missing knowledge never skips a training.
    public func concerns(repository: String, ref: String, changed: [String]) -> Bool {
        guard repository == self.repository, self.ref == nil || self.ref == ref else { return false }
        guard !paths.isEmpty, !changed.isEmpty else { return true }
        return changed.contains { path in paths.contains { Self.matches(Array(path.utf8), Array($0.utf8)) } }
    }

    /// Glob matching over bytes: `**/` also matches no folder at all, a trailing `**` everything below.
    private static func matches(_ path: [UInt8], _ pattern: [UInt8]) -> Bool {
        let star = UInt8(ascii: "*")
        let slash = UInt8(ascii: "/")
        // reachable[i]: the pattern read so far can end before path[i].
        var reachable = [Bool](repeating: false, count: path.count + 1)
        reachable[0] = true
        var index = 0
        while index < pattern.count {
            var next = [Bool](repeating: false, count: path.count + 1)
            if pattern[index] == star {
                let isDeep = index + 1 < pattern.count && pattern[index + 1] == star
                index += isDeep ? 2 : 1
                let skipsFolders = isDeep && index < pattern.count && pattern[index] == slash
                if skipsFolders { index += 1 }
                var isOpen = false
                for place in 0...path.count {
                    if place > 0, !isDeep, path[place - 1] == slash { isOpen = false }
                    if reachable[place] { isOpen = true }
                    // After "**/" only the starts of path parts are reached.
                    let isPartStart = place == 0 || path[place - 1] == slash
                    next[place] = isOpen && (!skipsFolders || isPartStart || reachable[place])
                }
            } else {
                for place in 0..<path.count where reachable[place] {
                    let isAny = pattern[index] == UInt8(ascii: "?") && path[place] != slash
                    if isAny || pattern[index] == path[place] { next[place + 1] = true }
                }
                index += 1
            }
            reachable = next
        }
        return reachable[path.count]
    }
}
