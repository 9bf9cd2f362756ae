/// Takes an XGBoost model file from elsewhere in, or refuses it with the reason.
public enum ModelImport {
    /// A file that this runtime and the library of version 1.7 answer alike, and what was done to it.
    public struct Imported: Sendable {
        /// XGBoost's JSON.
        public let json: [UInt8]
        /// What the file said of itself; `writer` is to be recorded with the version.
        public let origin: TreeModel.Origin
        /// One sentence for each change or choice, to be recorded with the version.
        public let notes: [String]
    }

    /// Checks `bytes`, and rewrites a `base_score` list (XGBoost 3.1 and later) as the plain number that older
    /// libraries read; they would silently take it for 0.5 and answer up to 0.25 off.
    ///
    /// - Throws: ``ModelFault``: `unsupported` for UBJ, several outputs or unequal base scores, `malformed` otherwise.
    public static func normalised(_ bytes: [UInt8]) throws(ModelFault) -> Imported {
        let file = try ModelFile(json: bytes)
        var json = bytes
        var notes: [String] = []
        if file.isBaseScoreList {
            json.replaceSubrange(file.baseScoreRange, with: Array("\"\(file.baseScore)\"".utf8))
            notes.append("base_score was a list, as XGBoost \(file.writer) writes it; it is now \(file.baseScore)")
        }
        if let best = file.bestIteration {
            notes.append(
                "the file names iteration \(best) as its best: \(file.treesUsed) of \(file.trees.count) trees count")
        }
        return Imported(json: json, origin: try TreeModel(json: json).origin, notes: notes)
    }
}
