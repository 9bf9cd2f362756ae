import Foundation
import NauraRules

/// Makes a project from one data file: `naura.yaml` and a contract, both meant to be read and edited by people.
public struct ProjectWriter {
    /// What the project is to be made from.
    public struct Request: Sendable {
        /// The project's folder; dataset, view and model are named after it.
        public var directory: String
        /// The data file: CSV, or JSON lines by its ending.
        public var source: String
        /// The column that names the entity.
        public var key: String
        /// The column to be predicted, of two classes.
        public var label: String
        /// The column with the event time; nil for the moment of arrival.
        public var timestamp: String?

        public init(directory: String, source: String, key: String, label: String, timestamp: String? = nil) {
            self.directory = directory
            self.source = source
            self.key = key
            self.label = label
            self.timestamp = timestamp
        }
    }

    /// What was made.
    public struct Written: Sendable, Equatable {
        /// The name of project, dataset, view and model.
        public let name: String
        /// The paths of the files that were written.
        public let projectFile: String
        /// See `projectFile`.
        public let contractFile: String
        /// The class that counts as positive.
        public let positive: String
        /// The columns that became features.
        public let features: [String]
        /// The columns that did not, with the reason.
        public let skipped: [ColumnChoice]
    }

    /// Writes the project's files.
    ///
    /// - Throws: ``DataFault`` for the data file, or `unusable` with every reason why no project can be made.
    public static func write(_ request: Request) throws(DataFault) -> Written {
        let folder = (request.directory as NSString).standardizingPath
        let projectFile = "\(folder)/naura.yaml"
        if access(projectFile, F_OK) == 0 {
            throw DataFault(.unusable, "\(projectFile) is there already; remove it, or name another folder")
        }
        let format: DataFormat =
            request.source.hasSuffix(".jsonl") || request.source.hasSuffix(".ndjson") ? .jsonl : .csv
        let survey = try Survey(request, reader: try DataFile.open(path: request.source, format: format))
        let name = name(of: folder)
        let draft = ProjectDraft(name: name, request: request, survey: survey)
        let contractFile = "\(folder)/contracts/\(name).yaml"
        try FileSystem.makeDirectory("\(folder)/contracts")
        try write(draft.contractText, to: contractFile)
        try write(draft.projectText, to: projectFile)
        return Written(
            name: name, projectFile: projectFile, contractFile: contractFile, positive: survey.positive,
            features: survey.choices.filter(\.isFeature).map(\.column), skipped: survey.choices.filter { !$0.isFeature }
        )
    }

    /// The folder's own name, with what no name may hold replaced by `-`.
    static func name(of folder: String) -> String {
        let absolute = URL(fileURLWithPath: folder).standardizedFileURL.lastPathComponent
        let scalars = absolute.unicodeScalars.map { scalar -> Character in
            ProjectName.isLetterOrDigit(scalar) || "-_.".unicodeScalars.contains(scalar) ? Character(scalar) : "-"
        }
        let name = String(scalars.drop { !$0.isLetter && !$0.isNumber }.prefix(100))
        return name.isEmpty ? "project" : name
    }

    private static func write(_ text: String, to path: String) throws(DataFault) {
        try FileSystem.replace(path, with: Array(text.utf8))
    }
}

/// Whether a column becomes a feature, and why not.
public struct ColumnChoice: Sendable, Equatable {
    /// The column's name.
    public let column: String
    /// Nil for a feature.
    public let reason: String?
    /// Whether the column becomes a feature.
    public var isFeature: Bool { reason == nil }
}

/// What was found in the data file, held against what the project needs.
struct Survey {
    /// More different texts than this are no categories.
    static let categoriesMax = 200
    /// Entities of the rarer class that the holdout should hold: the gate needs 50, and a hash splits by chance.
    static let holdoutPositives = 60.0

    let profile: Profile
    let labelClasses: [ValueCount]
    let positive: String
    let choices: [ColumnChoice]

    init(_ request: ProjectWriter.Request, reader: any RecordReader) throws(DataFault) {
        let columns = reader.columns
        try Self.checkColumns(request, columns)
        let profiler = try Profiler.profile(reader)
        let profile = profiler.profile
        var reasons = Self.columnFaults(request, profile)
        let index = columns.firstIndex(of: request.label) ?? 0
        let labelClasses = Self.classes(profiler.frequencies(index) ?? [], type: profile.columns[index].type)
        if labelClasses.count != 2 {
            let capped = profile.columns[index].distinct > ValueCounter.valuesMax
            let shown = labelClasses.prefix(5).map(\.value).joined(separator: ", ")
            let found =
                capped ? "more than \(ValueCounter.valuesMax) different values" : "\(labelClasses.count) (\(shown))"
            reasons.append("label '\(request.label)' must have exactly two classes, found \(found)")
        }
        let choices = profile.columns.map { Self.choice($0, request, rows: profile.rows) }
        if !choices.contains(where: \.isFeature) {
            reasons.append("no column can be a feature: numbers, booleans and texts of few values are needed")
        }
        guard reasons.isEmpty, let rarer = labelClasses.last else {
            throw DataFault(.unusable, reasons.joined(separator: "; "))
        }
        self.profile = profile
        self.labelClasses = labelClasses
        self.choices = choices
        positive = rarer.value
    }

    private static func checkColumns(_ request: ProjectWriter.Request, _ columns: [String]) throws(DataFault) {
        var reasons: [String] = []
        let roles =
            [("key", request.key), ("label", request.label)] + (request.timestamp.map { [("timestamp", $0)] } ?? [])
        for (role, column) in roles where !columns.contains(column) {
            let near = Nearness.suggestion(for: column, among: columns).map { "; did you mean '\($0)'?" } ?? ""
            reasons.append("\(role) '\(column)' is no column of \(request.source)\(near)")
        }
        if Set(roles.map(\.1)).count < roles.count {
            reasons.append("key, label and timestamp must be different columns")
        }
        guard !reasons.isEmpty else { return }
        let separators = columns.count == 1 && (columns[0].contains(";") || columns[0].contains("\t"))
        let hint = separators ? "; the file seems to be separated by something other than commas" : ""
        let shown = columns.prefix(30).joined(separator: ", ") + (columns.count > 30 ? ", …" : "")
        throw DataFault(.unusable, "\(reasons.joined(separator: "; ")); its columns are \(shown)\(hint)")
    }

    private static func columnFaults(_ request: ProjectWriter.Request, _ profile: Profile) -> [String] {
        var reasons: [String] = []
        if let key = profile.column(request.key), key.nulls > 0 {
            reasons.append("key '\(request.key)' has no value in \(key.nulls) of \(profile.rows) rows")
        }
        guard let name = request.timestamp, let column = profile.column(name) else { return reasons }
        if column.nulls > 0 {
            reasons.append("timestamp '\(name)' has no value in \(column.nulls) of \(profile.rows) rows")
        }
        let isEpoch = column.type == .integer && (column.minimum ?? 0) >= 1e8
        if column.type != .timestamp && !isEpoch {
            reasons.append(
                "timestamp '\(name)' holds no moments (yyyy-MM-dd, yyyy-MM-dd HH:mm:ss, ISO 8601, seconds since 1970)")
        }
        return reasons
    }

    /// The label's classes, the more frequent first; of two equally frequent ones the smaller text first.
    private static func classes(_ frequencies: [ValueCount], type: ColumnType) -> [ValueCount] {
        var counts: [String: Int] = [:]
        for entry in frequencies where type == .text || Cell.read(entry.value).kind != .nullMark {
            counts[Cell.canonicalText(entry.value, type: type), default: 0] += entry.count
        }
        return counts.map { ValueCount(value: $0.key, count: $0.value) }.sorted { left, right in
            left.count != right.count
                ? left.count > right.count : left.value.utf8.lexicographicallyPrecedes(right.value.utf8)
        }
    }

    private static func choice(_ column: ColumnProfile, _ request: ProjectWriter.Request, rows: Int64) -> ColumnChoice {
        func skipped(_ reason: String) -> ColumnChoice { ColumnChoice(column: column.name, reason: reason) }
        if column.name == request.key { return skipped("the key") }
        if column.name == request.label { return skipped("the label") }
        if column.name == request.timestamp { return skipped("the event time") }
        if column.distinct == 0 { return skipped("empty") }
        if column.distinct == 1 { return skipped("constant: always \(column.top.first?.value ?? "the same")") }
        let distinct = "\(column.distinct)\(column.distinctIsCapped ? " or more" : "") different values in \(rows) rows"
        switch column.type {
        case .timestamp: return skipped("a timestamp: write an expression of it if its age or distance matters")
        case .text where column.distinct > categoriesMax || column.distinct * 2 >= Int(rows):
            return skipped("free text: \(distinct)")
        case .integer where column.name.hasPrefix("unnamed-") && column.distinct == Int(rows):
            return skipped("a row number: \(distinct)")
        case .text, .integer, .number, .boolean: return ColumnChoice(column: column.name, reason: nil)
        }
    }

    /// The share of entities to hold out: a fifth, or more where the rarer class is small.
    var holdoutShare: Double {
        let rarer = Double(labelClasses.last?.count ?? 0)
        return [0.2, 0.3].first { rarer * $0 >= Self.holdoutPositives } ?? 0.4
    }
}
