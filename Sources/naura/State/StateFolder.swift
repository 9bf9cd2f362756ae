import Foundation

/// The folder `.naura/`: everything that a laptop's Naura is and knows. One per project; two never meet.
///
/// ```
/// .naura/state.json        ports that were chosen, kept for the next start
/// .naura/up.json           the supervisor: its process, and how far its start is
/// .naura/processes.json    the workers it started
/// .naura/lock              held by the running supervisor
/// .naura/logs/NAME.log     output of each process
/// .naura/database/ broker/ artifacts/ cache/ reports
/// ```
struct StateFolder: Sendable {
    let path: String

    /// The nearest `.naura/` on the way up from `directory`; nil when there is none.
    static func find(from directory: String = FileManager.default.currentDirectoryPath) -> StateFolder? {
        for folder in ancestors(of: directory) where isFolder(folder + "/.naura") {
            return StateFolder(path: folder + "/.naura")
        }
        return nil
    }

    /// Where `naura up` keeps its state: beside the nearest `naura.yaml`, or in the nearest `.naura/`, whichever comes
    /// first on the way up; else in `directory` itself.
    static func home(from directory: String = FileManager.default.currentDirectoryPath) -> StateFolder {
        for folder in ancestors(of: directory) {
            let isProject = FileManager.default.fileExists(atPath: folder + "/naura.yaml")
            if isProject || isFolder(folder + "/.naura") { return StateFolder(path: folder + "/.naura") }
        }
        return StateFolder(path: directory + "/.naura")
    }

    var database: String { path + "/database" }
    var broker: String { path + "/broker" }
    var artifacts: String { path + "/artifacts" }
    var cache: String { path + "/cache" }
    var lock: String { path + "/lock" }
    func log(_ name: String) -> String { "\(path)/logs/\(name).log" }

    /// Makes the folder and its parts where they are missing. Only its owner may look in: the password lies there.
    func create() throws {
        for part in [path, path + "/logs", artifacts, cache] {
            try FileManager.default.createDirectory(
                atPath: part, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
        }
    }

    /// Reads the JSON file `name`; nil when it does not exist.
    ///
    /// - Throws: ``CommandError`` when it exists and cannot be understood.
    func read<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value? {
        guard let data = FileManager.default.contents(atPath: "\(path)/\(name)") else { return nil }
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            throw CommandError(.brokenState, "\(path)/\(name) is damaged; remove it to start anew", cause: error)
        }
    }

    /// Writes `value` as the JSON file `name`: whole or not at all, readable by its owner only.
    func write(_ value: some Encodable, to name: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let target = "\(path)/\(name)"
        try encoder.encode(value).write(to: URL(fileURLWithPath: target), options: .atomic)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: target)
    }

    func remove(_ name: String) throws {
        let target = "\(path)/\(name)"
        guard FileManager.default.fileExists(atPath: target) else { return }
        try FileManager.default.removeItem(atPath: target)
    }

    private static func ancestors(of directory: String) -> [String] {
        var folders: [String] = []
        var url = URL(fileURLWithPath: directory).standardizedFileURL
        while true {
            folders.append(url.path)
            let parent = url.deletingLastPathComponent()
            if parent.path == url.path { return folders }
            url = parent
        }
    }

    private static func isFolder(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
    }
}
