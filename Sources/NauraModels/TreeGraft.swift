/// Adds a tree to a model file, for demonstrations and tests of what happens when a model goes wrong in one corner.
public enum TreeGraft {
    /// `json` with one more tree at the end: rows whose encoded `column` is missing or below `condition` get `low` added
    /// to their margin, others `high`, which may be NaN. `json` is a file that this runtime reads.
    public static func appending(
        to json: [UInt8], column: Int, condition: Float, low: Float, high: Float
    ) throws(ModelFault) -> [UInt8] {
        try appending(
            to: json,
            Nodes(
                left: [1, -1, -1], right: [2, -1, -1], parents: [root, 0, 0], column: [column, 0, 0],
                values: [condition, low, high]))
    }

    /// `json` with one more tree at the end: rows whose encoded `column` is in `range` get `value`, which may be NaN, added
    /// to their margin; all others, and those without a value there, get nothing. `json` is a file that this runtime reads.
    public static func appending(
        to json: [UInt8], column: Int, range: Range<Float>, value: Float
    ) throws(ModelFault) -> [UInt8] {
        try appending(
            to: json,
            Nodes(
                left: [1, -1, 3, -1, -1], right: [2, -1, 4, -1, -1], parents: [root, 0, 0, 2, 2],
                column: [column, 0, column, 0, 0], values: [range.lowerBound, 0, range.upperBound, value, 0]))
    }

    /// What XGBoost writes as the root's parent.
    private static let root = 2_147_483_647

    /// A tree node by node: children, or -1 in a leaf; the encoded column and the condition, or the leaf's value.
    private struct Nodes {
        let left: [Int]
        let right: [Int]
        let parents: [Int]
        let column: [Int]
        let values: [Float]
    }

    private static func appending(to json: [UInt8], _ nodes: Nodes) throws(ModelFault) -> [UInt8] {
        let file = try ModelFile(json: json)
        let count = file.trees.count
        let zeros = nodes.left.map { _ in "0E0" }.joined(separator: ",")
        let flags = nodes.left.map { _ in "0" }.joined(separator: ",")
        // Missing values go to the left, which is a leaf at the root.
        let defaults = nodes.left.map { $0 == -1 ? "0" : "1" }.joined(separator: ",")
        func list(_ numbers: [Int]) -> String { numbers.map(String.init).joined(separator: ",") }
        let tree = """
            {"base_weights":[\(zeros)],"categories":[],"categories_nodes":[],"categories_segments":[],\
            "categories_sizes":[],"default_left":[\(defaults)],"id":\(count),"left_children":[\(list(nodes.left))],\
            "loss_changes":[\(zeros)],"parents":[\(list(nodes.parents))],"right_children":[\(list(nodes.right))],\
            "split_conditions":[\(nodes.values.map(word).joined(separator: ","))],\
            "split_indices":[\(list(nodes.column))],"split_type":[\(flags)],"sum_hessian":[\(zeros)],\
            "tree_param":{"num_deleted":"0","num_feature":"\(file.width)","num_nodes":"\(nodes.left.count)",\
            "size_leaf_vector":"0"}}
            """
        var text = String(decoding: json, as: UTF8.self)
        try insert(",\(tree)", beforeEndOfListAfter: "\"trees\":[", into: &text)
        try insert(",0", beforeEndOfListAfter: "\"tree_info\":[", into: &text)
        try replace("\"num_trees\":\"\(count)\"", by: "\"num_trees\":\"\(count + 1)\"", in: &text)
        return Array(text.utf8)
    }

    private static func word(_ value: Float) -> String {
        value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : "\(value)"
    }

    private static func insert(
        _ addition: String, beforeEndOfListAfter opening: String, into text: inout String
    ) throws(ModelFault) {
        guard let start = text.firstRange(of: opening)?.upperBound else {
            throw ModelFault(.malformed, "model.json holds no \(opening)")
        }
        var depth = 1
        var index = start
        while index < text.utf8.endIndex {
            switch text.utf8[index] {
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
            if depth == 0 { break }
            index = text.utf8.index(after: index)
        }
        text.insert(contentsOf: addition, at: index)
    }

    private static func replace(_ old: String, by new: String, in text: inout String) throws(ModelFault) {
        guard let range = text.firstRange(of: old) else { throw ModelFault(.malformed, "model.json holds no \(old)") }
        text.replaceSubrange(range, with: new)
    }
}
