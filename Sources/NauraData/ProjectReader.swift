import Foundation
import NauraRules

/// Reads `naura.yaml` and the contracts that it names.
public enum ProjectReader {
    /// A project file, read and found whole.
    public struct ReadProject: Sendable, Equatable {
        /// What the file says.
        public let definition: ProjectDefinition
        /// The SHA-256 of the definition: equal for two files that say the same, however they are laid out.
        public let sha256: String
        /// The text of the project file.
        public let source: String
    }

    /// Reads the project file at `path`; contracts are found relative to its folder.
    ///
    /// - Throws: ``ProjectFaults`` with every fault of the file and its contracts.
    public static func read(path: String) throws(ProjectFaults) -> ReadProject {
        let name = (path as NSString).lastPathComponent
        let folder = (path as NSString).deletingLastPathComponent
        let text = try text(path, name: name)
        return try read(yaml: text, directory: folder.isEmpty ? "." : folder, file: name)
    }

    /// Reads a project file from its text.
    ///
    /// - Parameters:
    ///   - directory: where the paths of contracts begin.
    ///   - file: the name that faults bear.
    /// - Throws: ``ProjectFaults`` with every fault of the file and its contracts.
    public static func read(
        yaml: String, directory: String, file: String = "naura.yaml"
    ) throws(ProjectFaults) -> ReadProject {
        let sheet = FaultSheet(file: file)
        guard let root = YAMLDocument.read(yaml, sheet) else {
            try sheet.throwIfAny()
            throw ProjectFaults([])
        }
        let contracts = ContractShelf(directory: directory)
        var project = ProjectDefinition(name: root.name("project") ?? "")
        for (name, value) in root.entries("datasets", isRequired: true) {
            guard let mapping = value.checkedName(name).mapping() else { continue }
            project.datasets[name] = DatasetReader(name, mapping, contracts).read()
        }
        for (name, value) in root.entries("feature-views") {
            guard let mapping = value.checkedName(name).mapping() else { continue }
            project.featureViews[name] = FeatureViewReader(name, mapping, project.datasets).read()
        }
        for (name, value) in root.entries("notify") {
            if let channel = ChannelReader.read(value.checkedName(name)) { project.notify[name] = channel }
        }
        for (name, value) in root.entries("models") {
            guard let mapping = value.checkedName(name).mapping() else { continue }
            project.models[name] = ModelReader(name, mapping, project).read()
        }
        root.refuseOthers()
        for contract in contracts.sheets { sheet.append(contract) }
        try sheet.throwIfAny()
        return ReadProject(definition: project, sha256: sha256(of: project), source: yaml)
    }

    /// The SHA-256 of what a project says: of its JSON with sorted keys.
    public static func sha256(of project: ProjectDefinition) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Digest.sha256(Array(try encoder.encode(project)))
        } catch {
            preconditionFailure("a project definition is always JSON: \(error)")
        }
    }

    static func text(_ path: String, name: String) throws(ProjectFaults) -> String {
        do {
            var bytes: [UInt8] = []
            try FileSystem.forEachChunk(of: path) { bytes.append(contentsOf: $0) }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw DataFault(.encoding, "bytes that are not UTF-8")
            }
            return text
        } catch {
            let fault = error as? DataFault
            let found = fault?.code == .notFound ? "no such file" : fault?.message ?? "\(error)"
            throw ProjectFaults([
                ProjectFault(file: name, line: 0, key: "", found: found, expected: "a file at \(path)")
            ])
        }
    }
}

/// Reads each contract file once, and keeps its faults.
final class ContractShelf {
    private let directory: String
    private var contracts: [String: Contract?] = [:]
    private(set) var sheets: [FaultSheet] = []

    init(directory: String) { self.directory = directory }

    /// The contract at `path`; nil when it has faults, which the shelf keeps.
    func contract(_ path: String) throws(ProjectFaults) -> Contract? {
        if let known = contracts[path] { return known }
        let text = try ProjectReader.text(path.hasPrefix("/") ? path : "\(directory)/\(path)", name: path)
        let sheet = FaultSheet(file: path)
        let contract = ContractFile.read(yaml: text, sheet)
        if !sheet.faults.isEmpty { sheets.append(sheet) }
        contracts[path] = sheet.faults.isEmpty ? contract : Contract?.none
        return sheet.faults.isEmpty ? contract : nil
    }
}

/// Names of projects, datasets, views, models and channels: they are also keys of topics and parts of addresses.
enum ProjectName {
    static let expected = "letters, digits, '-', '_' or '.', beginning with a letter or digit, at most 100"

    static func isValid(_ name: String) -> Bool {
        guard let first = name.unicodeScalars.first, name.utf8.count <= 100, isLetterOrDigit(first) else {
            return false
        }
        return name.unicodeScalars.allSatisfy { isLetterOrDigit($0) || "-_.".unicodeScalars.contains($0) }
    }

    static func isLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType == .decimal)
    }
}

extension YAMLMapping {
    /// A required name.
    func name(_ key: String) -> String? {
        guard let name = text(key, isRequired: true, expected: "a name") else { return nil }
        if !ProjectName.isValid(name) { fault(key, found: "'\(name)'", expected: ProjectName.expected) }
        return name
    }

    /// A reference to one of `names`.
    func reference(_ key: String, to what: String, among names: some Sequence<String>, isRequired: Bool = true)
        -> String?
    {
        guard let name = text(key, isRequired: isRequired, expected: "the name of a \(what)") else { return nil }
        return value(key)?.reference(name, to: what, among: names)
    }
}

extension YAMLValue {
    func checkedName(_ name: String) -> YAMLValue {
        if !ProjectName.isValid(name) { fault(found: "the name '\(name)'", expected: ProjectName.expected) }
        return self
    }

    /// `name` if it is one of `names`, otherwise a fault.
    func reference(_ name: String, to what: String, among names: some Sequence<String>) -> String? {
        if names.contains(name) { return name }
        let near = Nearness.suggestion(for: name, among: names).map { "; did you mean '\($0)'?" } ?? ""
        let known = names.sorted().prefix(12).joined(separator: ", ")
        fault(found: "'\(name)', which is no \(what)\(near)", expected: known.isEmpty ? "a \(what)" : "one of \(known)")
        return nil
    }
}
