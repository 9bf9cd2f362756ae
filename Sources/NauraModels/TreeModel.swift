import Glibc

/// The trees of an XGBoost model as flat arrays, walked in Swift.
///
/// Equal to the library's answer bit for bit and several times faster for one row (3.4 µs against 23 µs, 100 trees of
/// depth 6). All in float32: the base margin is the start of the sum, then each tree's leaf in tree order. In a node a
/// value below the condition goes left, and a missing one (NaN) where the training saw it belong.
/// Immutable after its making, so threads share it without a lock.
public final class TreeModel: Sendable {
    /// What the margin becomes in the end.
    enum Link: Sendable {
        /// 1 / (1 + exp(-margin)): a probability.
        case logistic
        /// The margin itself.
        case identity
    }

    /// What the file said of itself.
    public struct Origin: Sendable, Equatable {
        /// XGBoost's version that wrote the file: `1.7.4`.
        public let writer: String
        /// The objective: `binary:logistic`.
        public let objective: String
        /// Trees that count in an answer. Fewer than the file holds when it names a best iteration.
        public let trees: Int
        /// Trees in the file.
        public let treesInFile: Int
    }

    /// What the file said of itself.
    public let origin: Origin
    /// Numbers in an encoded row.
    public let width: Int

    struct Node {
        /// Left-hand value: the condition of a split, the value of a leaf.
        var value: Float
        /// The column, or -1 for a leaf.
        var column: Int32
        var left: Int32
        var right: Int32
        /// Where a missing value goes.
        var missing: Int32
    }

    // Written in the initialiser and never again; freed by deinit. Reading an immutable buffer needs no lock.
    nonisolated(unsafe) private let nodes: UnsafeMutableBufferPointer<Node>
    nonisolated(unsafe) private let roots: UnsafeMutableBufferPointer<Int32>
    private let baseMargin: Float
    private let link: Link

    /// Reads XGBoost's JSON. Trees after the best iteration, where the file names one, are left out.
    ///
    /// - Throws: ``ModelFault``: `malformed`, or `unsupported` for what cannot be answered exactly: UBJ, another booster
    ///   than gbtree, several outputs, categorical splits, an unknown objective.
    public convenience init(json bytes: [UInt8]) throws(ModelFault) {
        try self.init(try ModelFile(json: bytes))
    }

    init(_ file: ModelFile) throws(ModelFault) {
        let trees = file.trees.prefix(file.treesUsed)
        let count = trees.reduce(0) { $0 + $1.count }
        guard count < Int(Int32.max) else { throw ModelFault(.unsupported, "the model has more nodes than 2^31") }
        link = try Self.link(of: file.objective)
        baseMargin = link == .logistic ? -logf(1 / file.baseScore - 1) : file.baseScore
        width = file.width
        origin = Origin(
            writer: file.writer, objective: file.objective, trees: trees.count, treesInFile: file.trees.count)
        nodes = .allocate(capacity: count)
        roots = .allocate(capacity: trees.count)
        var end: Int32 = 0
        for (index, tree) in trees.enumerated() {
            let root = end
            roots[index] = root
            for var node in tree {
                if node.column >= 0 {
                    node.left += root
                    node.right += root
                    node.missing += root
                }
                nodes[Int(end)] = node
                end += 1
            }
        }
    }

    deinit {
        nodes.deallocate()
        roots.deallocate()
    }

    private static func link(of objective: String) throws(ModelFault) -> Link {
        switch objective {
        case "binary:logistic", "reg:logistic": return .logistic
        case "reg:squarederror", "binary:logitraw": return .identity
        default: throw ModelFault(.unsupported, "the objective \(objective) is not one of this runtime")
        }
    }

    /// The answer for one encoded row of ``width`` numbers; NaN where a leaf on the row's way holds none.
    public func score(_ row: UnsafeBufferPointer<Float>) -> Float {
        precondition(row.count == width, "a row of another width")
        var margin = baseMargin
        for root in roots {
            var node = nodes[Int(root)]
            while node.column >= 0 {
                let value = row[Int(node.column)]
                let next = value < node.value ? node.left : value.isNaN ? node.missing : node.right
                node = nodes[Int(next)]
            }
            margin += node.value
        }
        return link == .logistic ? Self.probability(margin) : margin
    }

    /// The library's own formula, its guard against an overflowing exponential included.
    static func probability(_ margin: Float) -> Float {
        let bounded: Float = 88.7 < -margin ? 88.7 : -margin
        return 1 / (expf(bounded) + 1)
    }
}
