/// Adds a tree to a model file, for demonstrations and tests of what happens when a model goes wrong in one corner.
public enum TreeGraft {
    /// `json` with one more tree at the end: rows whose encoded `column` is missing or below `condition` get `low` added
    /// to their margin, others `high`, which may be NaN. `json` is a file that this runtime reads.
    public static func appending(
        to json: [UInt8], column: Int, condition: Float, low: Float, high: Float
    ) throws(ModelFault) -> [UInt8] {
        let file = try ModelFile(json: json)
        let count = file.trees.count
        let conditions = [condition, low, high].map(word).joined(separator: ",")
        let tree = """
            {"base_weights":[0E0,0E0,0E0],"categories":[],"categories_nodes":[],"categories_segments":[],\
            "categories_sizes":[],"default_left":[1,0,0],"id":\(count),"left_children":[1,-1,-1],\
            "loss_changes":[0E0,0E0,0E0],"parents":[2147483647,0,0],"right_children":[2,-1,-1],\
            "split_conditions":[\(conditions)],"split_indices":[\(column),0,0],"split_type":[0,0,0],\
            "sum_hessian":[0E0,0E0,0E0],"tree_param":{"num_deleted":"0","num_feature":"\(file.width)","num_nodes":"3",\
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
