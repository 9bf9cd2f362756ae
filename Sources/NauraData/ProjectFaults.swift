/// One fault of a project or contract file.
public struct ProjectFault: Sendable, Equatable, CustomStringConvertible {
    /// The file, as it was named.
    public let file: String
    /// The line, from 1; 0 for the file as a whole.
    public let line: Int
    /// The path of the key at fault: `models.churn.holdout`.
    public let key: String
    /// What stands there.
    public let found: String
    /// What could stand there.
    public let expected: String

    public init(file: String, line: Int, key: String, found: String, expected: String) {
        self.file = file
        self.line = line
        self.key = key
        self.found = found
        self.expected = expected
    }

    public var description: String {
        "\(file):\(line): \(key.isEmpty ? "" : "\(key): ")found \(found); expected \(expected)"
    }
}

/// Every fault of a project, in the order of the files and lines.
public struct ProjectFaults: Error, Sendable, Equatable, CustomStringConvertible {
    /// Each fault once.
    public let faults: [ProjectFault]
    /// Always false: only an edit helps.
    public var isTransient: Bool { false }

    /// At least one fault.
    public init(_ faults: [ProjectFault]) { self.faults = faults }

    public var description: String { faults.map(\.description).joined(separator: "\n") }
}

/// Collects the faults of one file while it is read to its end.
final class FaultSheet {
    let file: String
    private(set) var faults: [ProjectFault] = []

    init(file: String) { self.file = file }

    func add(line: Int, key: String, found: String, expected: String) {
        let fault = ProjectFault(file: file, line: line, key: key, found: found, expected: expected)
        if !faults.contains(fault) { faults.append(fault) }
    }

    func append(_ other: FaultSheet) { faults += other.faults }

    func throwIfAny() throws(ProjectFaults) {
        guard !faults.isEmpty else { return }
        let files = faults.map(\.file)
        throw ProjectFaults(
            faults.enumerated().sorted { left, right in
                let (first, second) = (
                    files.firstIndex(of: left.element.file)!, files.firstIndex(of: right.element.file)!
                )
                return (first, left.element.line, left.offset) < (second, right.element.line, right.offset)
            }.map(\.element))
    }
}
