import Crypto
public import NauraRules

/// A model as a folder of files: an MLflow model directory with the encoder, the reference bins for drift and sample
/// rows with the answers that the trainer saw.
///
/// The digest is the SHA-256 of one line a file, `<sha256>  <path>`, in byte order of the paths (the form that
/// `sha256sum` writes). Every byte follows from the training set, the parameters, the seed and the library's version.
public struct ModelPackage: Sendable {
    /// The paths of a package, in byte order; there are no others.
    public static let paths = [
        "MLmodel", "code/naura_model.py", "encoder.json", "model.json", "reference.json", "requirements.txt",
        "samples.json",
    ]
    /// Sample rows in a package; the last two are all null, and all unknown categories.
    public static let samplesMax = 32

    /// The bytes of each path, in the order of ``paths``.
    public let files: [(path: String, bytes: [UInt8])]
    /// The package's name: 64 hex digits.
    public let digest: String

    private init(files: [(path: String, bytes: [UInt8])]) {
        self.files = files
        self.digest = Self.digest(of: files.map { ($0.path, Self.sha256($0.bytes)) })
    }

    /// Packs a trained model.
    ///
    /// `samples` are rows of the training set in a stated order; up to 30 of them are kept, evenly spread, null ones
    /// with them. Their answers are the library's own.
    /// - Throws: ``ModelFault`` when the trees do not fit the encoder, or answer a sample otherwise than the library.
    public init(
        model json: [UInt8], encoder: FeatureEncoder, reference: Reference, samples: [[CellValue]]
    ) throws(ModelFault) {
        let rows = Self.sampleRows(samples, encoder: encoder)
        var values: [Float] = []
        for row in rows { values += Self.encoded(row, by: encoder) }
        let scores = try Booster.scores(model: json, values: values, width: encoder.width)
        try self.init(
            model: json, encoder: encoder, reference: reference, samples: Samples(rows: rows, scores: scores))
    }

    private init(
        model json: [UInt8], encoder: FeatureEncoder, reference: Reference, samples: Samples
    ) throws(ModelFault) {
        self.init(files: [
            ("MLmodel", Array(MLmodelFile.text(for: encoder.signature).utf8)),
            ("code/naura_model.py", Array(MLmodelFile.loader.utf8)),
            ("encoder.json", encoder.canonicalBytes),
            ("model.json", json),
            ("reference.json", reference.canonicalBytes),
            ("requirements.txt", Array(MLmodelFile.requirements.utf8)),
            ("samples.json", samples.canonicalBytes(encoder.signature)),
        ])
        _ = try served()
    }

    /// The same package with other trees, whose answers for the sample rows become the recorded ones.
    ///
    /// For experiments and demonstrations: what the samples do not reach, nobody checks.
    /// - Throws: ``ModelFault`` when the trees do not fit, or a sample has no finite answer.
    public func replacingModel(_ json: [UInt8]) throws(ModelFault) -> ModelPackage {
        let encoder = try FeatureEncoder(parsing: bytes(of: "encoder.json"))
        let samples = try Samples(parsing: bytes(of: "samples.json"), signature: encoder.signature)
        var values: [Float] = []
        for row in samples.rows { values += Self.encoded(row, by: encoder) }
        let scores = try Booster.scores(model: json, values: values, width: encoder.width)
        guard scores.allSatisfy(\.isFinite) else {
            throw ModelFault(.notANumber, "the trees give a sample row no finite answer")
        }
        return try ModelPackage(
            model: json, encoder: encoder, reference: try Reference(parsing: bytes(of: "reference.json")),
            samples: Samples(rows: samples.rows, scores: scores))
    }

    /// Opens the package whose digest is `digest`; `file` returns the bytes of one path. Nothing is parsed.
    ///
    /// - Throws: ``ModelFault`` `digestMismatch`, or what `file` throws.
    public static func read(digest: String, file: (String) throws -> [UInt8]) throws -> ModelPackage {
        let package = ModelPackage(files: try paths.map { ($0, try file($0)) })
        guard package.digest == digest else {
            throw ModelFault(
                .digestMismatch, "the package's bytes have the digest \(package.digest), expected \(digest)")
        }
        return package
    }

    /// The model, ready to answer, once it has answered its own samples as recorded, bit for bit.
    ///
    /// - Throws: ``ModelFault`` with the reason why it must not serve.
    public func served() throws(ModelFault) -> ServedModel {
        let encoder = try FeatureEncoder(parsing: bytes(of: "encoder.json"))
        let trees = try TreeModel(json: bytes(of: "model.json"))
        guard trees.width == encoder.width else {
            throw ModelFault(.malformed, "the trees take \(trees.width) columns, the encoder makes \(encoder.width)")
        }
        let reference = try Reference(parsing: bytes(of: "reference.json"))
        guard reference.columns.map(\.name) == encoder.signature.inputs.map(\.name) else {
            throw ModelFault(.malformed, "reference.json and encoder.json name different columns")
        }
        let samples = try Samples(parsing: bytes(of: "samples.json"), signature: encoder.signature)
        for (row, recorded) in zip(samples.rows, samples.scores) {
            let score = Self.encoded(row, by: encoder).withUnsafeBufferPointer { trees.score($0) }
            guard score.bitPattern == recorded.bitPattern else {
                throw ModelFault(.samplesDiffer, "a sample row scores \(score), the trainer saw \(recorded)")
            }
        }
        return ServedModel(digest: digest, encoder: encoder, trees: trees, reference: reference)
    }

    /// The bytes of one of ``paths``.
    public func bytes(of path: String) -> [UInt8] {
        files.first { $0.path == path }?.bytes ?? []
    }

    /// The digest of a package whose files have these hashes.
    public static func digest(of hashes: [(path: String, sha256: String)]) -> String {
        let lines = hashes.sorted { bytesPrecede($0.path, $1.path) }.map { "\($0.sha256)  \($0.path)\n" }
        return sha256(Array(lines.joined().utf8))
    }

    static func sha256(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        let hex = SHA256.hash(data: bytes).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        return String(decoding: hex, as: UTF8.self)
    }

    private static func encoded(_ row: [CellValue], by encoder: FeatureEncoder) -> [Float] {
        [Float](unsafeUninitializedCapacity: encoder.width) { buffer, count in
            encoder.encode(row, into: UnsafeMutableBufferPointer(rebasing: buffer.prefix(encoder.width)))
            count = encoder.width
        }
    }

    private static func sampleRows(_ rows: [[CellValue]], encoder: FeatureEncoder) -> [[CellValue]] {
        let spread = min(rows.count, samplesMax - 2)
        var chosen = (0..<spread).map { rows[$0 * rows.count / max(spread, 1)] }
        chosen.append(encoder.columns.map { _ in .null })
        chosen.append(encoder.columns.map { $0.input.type == .text ? .text("\u{FFFD} unseen") : .number(-1e30) })
        return chosen
    }
}
