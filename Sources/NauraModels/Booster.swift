import CXGBoost

/// One call into the library; its rc becomes a refusal with the library's own words.
func library(_ call: @autoclosure () -> Int32, _ act: String) throws(ModelFault) {
    guard call() != 0 else { return }
    let words = XGBGetLastError().map { String(cString: $0) } ?? "no reason given"
    // The library adds its stack; the first line says what a person can use.
    let line = words.split(separator: "\n").first.map(String.init) ?? words
    throw ModelFault(.library, "XGBoost could not \(act): \(line)")
}

/// A matrix inside the library. Freed with its owner.
struct LibraryMatrix: ~Copyable {
    let handle: DMatrixHandle?

    private init(handle: DMatrixHandle?) { self.handle = handle }
    deinit { XGDMatrixFree(handle) }

    static func of(values: [Float], width: Int) throws(ModelFault) -> LibraryMatrix {
        var handle: DMatrixHandle?
        let rows = width == 0 ? 0 : values.count / width
        try library(
            XGDMatrixCreateFromMat(values, bst_ulong(rows), bst_ulong(width), .nan, &handle), "take the rows")
        return LibraryMatrix(handle: handle)
    }

    static func of(_ matrix: TrainingMatrix) throws(ModelFault) -> LibraryMatrix {
        let made = try of(values: matrix.values, width: matrix.width)
        try library(
            XGDMatrixSetFloatInfo(made.handle, "label", matrix.labels, bst_ulong(matrix.labels.count)),
            "take the labels")
        return made
    }
}

/// A model inside the library. Used by one thread at a time; freed with its owner.
struct LibraryBooster: ~Copyable {
    let handle: BoosterHandle?

    private init(handle: BoosterHandle?) { self.handle = handle }
    deinit { XGBoosterFree(handle) }

    /// An untrained model over `matrices`, which outlive it.
    static func over(
        _ matrices: [DMatrixHandle?], parameters: [(name: String, value: String)]
    ) throws(ModelFault) -> LibraryBooster {
        var handle: BoosterHandle?
        try library(XGBoosterCreate(matrices, bst_ulong(matrices.count), &handle), "make a model")
        let made = LibraryBooster(handle: handle)
        for parameter in parameters {
            try library(
                XGBoosterSetParam(made.handle, parameter.name, parameter.value),
                "set \(parameter.name)=\(parameter.value)")
        }
        return made
    }
}

/// The library's own answers for a model file: the oracle that ``TreeModel`` is held against.
///
/// Blocks its caller (1.8 µs a row in batches), so an async caller goes through ``LibraryThread``.
public enum Booster {
    /// The library's version, as it says itself; part of a run's identity.
    public static var libraryVersion: String {
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        XGBoostVersion(&major, &minor, &patch)
        return "\(major).\(minor).\(patch)"
    }

    /// One answer a row of `values`, which are encoded rows of `width` numbers one after another.
    ///
    /// Trees after the file's best iteration are left out, as ``TreeModel`` does. Give only bytes whose hash was checked.
    /// - Throws: ``ModelFault`` when the file is not one of ours, or in the library's words.
    public static func scores(model json: [UInt8], values: [Float], width: Int) throws(ModelFault) -> [Float] {
        let file = try ModelFile(json: json)
        guard !file.isBaseScoreList else {
            throw ModelFault(
                .unsupported, "base_score is a list, which this library reads wrongly; import the file first")
        }
        guard !values.isEmpty else { return [] }
        let booster = try LibraryBooster.over([], parameters: [("nthread", "1"), ("verbosity", "0")])
        try library(
            XGBoosterLoadModelFromBuffer(booster.handle, json, bst_ulong(json.count)), "read the model")
        let matrix = try LibraryMatrix.of(values: values, width: width)
        let end = file.bestIteration.map { $0 + 1 } ?? 0
        let configuration = """
            {"type":0,"training":false,"iteration_begin":0,"iteration_end":\(end),"strict_shape":false}
            """
        var shape: UnsafePointer<bst_ulong>?
        var dimensions: bst_ulong = 0
        var result: UnsafePointer<Float>?
        try library(
            XGBoosterPredictFromDMatrix(booster.handle, matrix.handle, configuration, &shape, &dimensions, &result),
            "score rows")
        let rows = values.count / width
        // The result belongs to the booster and is copied before the booster goes.
        return Array(UnsafeBufferPointer(start: result, count: rows))
    }
}
