public import NauraRules

/// A model that is ready to answer: its package was checked, and it answered its own samples as its trainer did.
///
/// Immutable, so any number of threads score with one instance.
public final class ServedModel: Sendable {
    /// The named inputs, in the order of a row.
    public var signature: ModelSignature { encoder.signature }
    /// The package's digest.
    public let digest: String
    /// The training distribution of inputs and scores, in the bins that drift is measured in.
    public let reference: Reference
    /// Inputs to numbers.
    public let encoder: FeatureEncoder
    private let trees: TreeModel

    init(digest: String, encoder: FeatureEncoder, trees: TreeModel, reference: Reference) {
        self.digest = digest
        self.encoder = encoder
        self.trees = trees
        self.reference = reference
    }

    /// Checks and opens the package whose digest is `digest`; `file` returns the bytes of one of its paths
    /// (``ModelPackage/paths``).
    ///
    /// Hashes are compared before anything is parsed, and the sample rows must come out as the trainer saw them, bit
    /// for bit. Takes milliseconds; runs where it is called.
    /// - Throws: ``ModelFault`` with the reason why the package must not serve, or what `file` throws.
    public static func load(digest: String, file: (String) throws -> [UInt8]) throws -> ServedModel {
        try ModelPackage.read(digest: digest, file: file).served()
    }

    /// The probability of the positive label for one row in the order of ``signature``.
    ///
    /// - Throws: ``ModelFault`` that names a wrongly typed column, or `notANumber` when the trees give no finite answer.
    public func score(_ row: [CellValue]) throws(ModelFault) -> Double {
        try signature.check(row)
        let score = withUnsafeTemporaryAllocation(of: Float.self, capacity: encoder.width) { encoded in
            encoder.encode(row, into: encoded)
            return trees.score(UnsafeBufferPointer(encoded))
        }
        guard score.isFinite else { throw ModelFault(.notANumber, "the model's answer is not a finite number") }
        return Double(score)
    }

    /// The answer for a row that is encoded already, as ``encoder`` would have written it; not finite where the trees
    /// give no answer.
    ///
    /// For callers that encode from bytes; the same trees as ``score(_:)``, without its checks.
    public func score(encoded row: UnsafeBufferPointer<Float>) -> Float { trees.score(row) }

    /// The probability of the positive label for named values, in any order.
    ///
    /// - Throws: ``ModelFault`` that names the missing, unknown or wrongly typed column, or `notANumber`.
    public func score(
        named values: [String: CellValue], extra: ModelSignature.ExtraColumns = .refuse
    ) throws(ModelFault) -> Double {
        try score(try signature.row(from: values, extra: extra))
    }
}
