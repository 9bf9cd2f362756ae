/// An XGBoost model file in JSON, checked for what this runtime can answer exactly.
struct ModelFile {
    private(set) var writer = ""
    private(set) var objective = ""
    private(set) var baseScore: Float = 0.5
    /// Where the text of `base_score` stands in the file, quotes included.
    private(set) var baseScoreRange = 0..<0
    private(set) var isBaseScoreList = false
    private(set) var width = 0
    private(set) var trees: [[TreeModel.Node]] = []
    private(set) var bestIteration: Int?
    private var booster = ""
    private var classes = 0
    private var targets = 1
    private var parallelTrees = 1

    /// Trees that count: all, or those up to the best iteration and including it.
    var treesUsed: Int {
        guard let bestIteration else { return trees.count }
        return min(trees.count, (bestIteration + 1) * max(parallelTrees, 1))
    }

    /// Reads `bytes`.
    ///
    /// - Throws: ``ModelFault`` `malformed` or `unsupported`, naming the member concerned.
    init(json bytes: [UInt8]) throws(ModelFault) {
        try Self.refuseBinary(bytes)
        self = try JSONScanner.scan(bytes, of: "model.json") { scanner throws(ModelFault) in
            var file = ModelFile()
            try scanner.object { scanner, name throws(ModelFault) in
                switch name {
                case "learner": try file.readLearner(&scanner)
                case "version": file.writer = try Self.version(&scanner)
                default: try scanner.skip()
                }
            }
            try scanner.end()
            return file
        }
        try check()
    }

    private init() {}

    /// One flipped bit in UBJ crashes libxgboost 1.7; JSON is refused cleanly. So only JSON comes in.
    private static func refuseBinary(_ bytes: [UInt8]) throws(ModelFault) {
        let blanks: Set<UInt8> = [0x20, 0x0A, 0x0D, 0x09]
        guard let open = bytes.firstIndex(where: { !blanks.contains($0) }) else {
            throw ModelFault(.malformed, "model.json is empty")
        }
        let inside = bytes[(open + 1)...].first { !blanks.contains($0) }
        if bytes[open] == UInt8(ascii: "{"), inside == UInt8(ascii: "\"") || inside == UInt8(ascii: "}") { return }
        if bytes[open] == UInt8(ascii: "{") || bytes.starts(with: "binf".utf8) || bytes.starts(with: "CONFIG".utf8) {
            throw ModelFault(
                .unsupported,
                "the model is in XGBoost's UBJ or binary form; save it as JSON (`save_model(\"model.json\")`)")
        }
        throw ModelFault(.malformed, "model.json is no JSON object")
    }

    private static func version(_ scanner: inout JSONScanner) throws(ModelFault) -> String {
        var parts: [String] = []
        try scanner.array { scanner throws(ModelFault) in parts.append(String(try scanner.integer())) }
        return parts.joined(separator: ".")
    }

    private mutating func readLearner(_ scanner: inout JSONScanner) throws(ModelFault) {
        try scanner.object { scanner, name throws(ModelFault) in
            switch name {
            case "attributes": try readAttributes(&scanner)
            case "gradient_booster": try readBooster(&scanner)
            case "learner_model_param": try readParameters(&scanner)
            case "objective":
                try scanner.object { scanner, name throws(ModelFault) in
                    if name == "name" { objective = try scanner.string() } else { try scanner.skip() }
                }
            default: try scanner.skip()
            }
        }
    }

    private mutating func readAttributes(_ scanner: inout JSONScanner) throws(ModelFault) {
        try scanner.object { scanner, name throws(ModelFault) in
            guard name == "best_iteration" else { return try scanner.skip() }
            let text = try scanner.string()
            guard let iteration = Int(text), iteration >= 0 else {
                throw ModelFault(.malformed, "the attribute best_iteration is `\(text)`, expected a whole number")
            }
            bestIteration = iteration
        }
    }

    private mutating func readParameters(_ scanner: inout JSONScanner) throws(ModelFault) {
        try scanner.object { scanner, name throws(ModelFault) in
            switch name {
            case "base_score":
                _ = scanner.peek()
                let start = scanner.position
                try readBaseScore(try scanner.string())
                baseScoreRange = start..<scanner.position
            case "num_feature": width = try Self.count(try scanner.string(), name)
            case "num_class": classes = try Self.count(try scanner.string(), name)
            case "num_target": targets = try Self.count(try scanner.string(), name)
            default: try scanner.skip()
            }
        }
    }

    private static func count(_ text: String, _ name: String) throws(ModelFault) -> Int {
        guard let count = Int(text), count >= 0 else {
            throw ModelFault(.malformed, "the member `\(name)` is `\(text)`, expected a whole number")
        }
        return count
    }

    /// XGBoost 3.1 and later write a list in a text; older libraries read it without an error as 0.5.
    private mutating func readBaseScore(_ text: String) throws(ModelFault) {
        isBaseScoreList = text.hasPrefix("[")
        let entries = isBaseScoreList ? text.dropFirst().dropLast().split(separator: ",") : [text[...]]
        var scores: [Float] = []
        for entry in entries {
            guard let score = Float(entry.filter { $0 != " " }) else {
                throw ModelFault(.malformed, "base_score is `\(text)`, expected a number")
            }
            scores.append(score)
        }
        guard let first = scores.first, scores.allSatisfy({ $0 == first }) else {
            throw ModelFault(
                .unsupported, "base_score is `\(text)`; this runtime answers one score for all outputs only")
        }
        baseScore = first
    }

    private mutating func readBooster(_ scanner: inout JSONScanner) throws(ModelFault) {
        try scanner.object { scanner, name throws(ModelFault) in
            switch name {
            case "name": booster = try scanner.string()
            case "model": try readTrees(&scanner)
            default: try scanner.skip()
            }
        }
    }

    private mutating func readTrees(_ scanner: inout JSONScanner) throws(ModelFault) {
        try scanner.object { scanner, name throws(ModelFault) in
            switch name {
            case "gbtree_model_param":
                try scanner.object { scanner, name throws(ModelFault) in
                    guard name == "num_parallel_tree" else { return try scanner.skip() }
                    parallelTrees = try Self.count(try scanner.string(), name)
                }
            case "trees":
                try scanner.array { scanner throws(ModelFault) in
                    trees.append(try TreeArrays(&scanner).nodes(of: trees.count))
                }
            default: try scanner.skip()
            }
        }
    }

    private func check() throws(ModelFault) {
        guard booster == "gbtree" else {
            throw ModelFault(.unsupported, "the booster `\(booster)` is not gbtree")
        }
        guard classes <= 1, targets == 1 else {
            throw ModelFault(.unsupported, "the model has several outputs (\(max(classes, targets)))")
        }
        guard !writer.isEmpty else { throw ModelFault(.malformed, "the member `version` is missing") }
        for tree in trees {
            guard tree.allSatisfy({ $0.column < Int32(width) }) else {
                throw ModelFault(.malformed, "a split asks for a column that the model does not have")
            }
        }
        guard objective.hasSuffix("logistic") ? baseScore > 0 && baseScore < 1 : baseScore.isFinite else {
            throw ModelFault(.malformed, "base_score is \(baseScore), no probability")
        }
    }
}

/// The columns of one tree, as the file holds them.
private struct TreeArrays {
    private var left: [Int] = []
    private var right: [Int] = []
    private var columns: [Int] = []
    private var conditions: [Float] = []
    private var defaultLeft: [Bool] = []

    init(_ scanner: inout JSONScanner) throws(ModelFault) {
        try scanner.object { scanner, name throws(ModelFault) in
            switch name {
            case "left_children":
                try scanner.array { scanner throws(ModelFault) in left.append(try scanner.integer()) }
            case "right_children":
                try scanner.array { scanner throws(ModelFault) in right.append(try scanner.integer()) }
            case "split_indices":
                try scanner.array { scanner throws(ModelFault) in columns.append(try scanner.integer()) }
            case "split_conditions":
                try scanner.array { scanner throws(ModelFault) in conditions.append(try scanner.float()) }
            case "default_left":
                try scanner.array { scanner throws(ModelFault) in defaultLeft.append(try scanner.bool()) }
            case "split_type":
                try scanner.array { scanner throws(ModelFault) in
                    guard try scanner.integer() == 0 else {
                        throw ModelFault(.unsupported, "the model has categorical splits")
                    }
                }
            default: try scanner.skip()
            }
        }
    }

    /// The nodes, checked so that every walk from the root ends: no node has two parents.
    ///
    /// Nodes that the root does not reach were pruned in training; they become leaves that nobody reads.
    func nodes(of tree: Int) throws(ModelFault) -> [TreeModel.Node] {
        let count = left.count
        guard count > 0, right.count == count, columns.count == count, conditions.count == count,
            defaultLeft.count == count
        else { throw ModelFault(.malformed, "the lists of tree \(tree) are of different lengths") }
        var nodes = [TreeModel.Node](
            repeating: TreeModel.Node(value: 0, column: -1, left: 0, right: 0, missing: 0), count: count)
        var isReached = [Bool](repeating: false, count: count)
        var open = [0]
        while let index = open.popLast() {
            guard index >= 0, index < count, !isReached[index] else {
                throw ModelFault(.malformed, "the children of tree \(tree) do not form a tree at node \(index)")
            }
            isReached[index] = true
            nodes[index].value = conditions[index]
            guard left[index] != -1 else { continue }
            guard columns[index] >= 0, columns[index] < Int(Int32.max) else {
                throw ModelFault(.malformed, "node \(index) of tree \(tree) splits by no column")
            }
            open += [left[index], right[index]]
            nodes[index].column = Int32(columns[index])
            nodes[index].left = Int32(truncatingIfNeeded: left[index])
            nodes[index].right = Int32(truncatingIfNeeded: right[index])
            nodes[index].missing = defaultLeft[index] ? nodes[index].left : nodes[index].right
        }
        return nodes
    }
}
