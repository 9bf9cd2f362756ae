import CXGBoost

/// Trains gradient-boosted trees for a yes-or-no label with the library.
///
/// The same matrix, parameters and library version give the same bytes, whatever the number of threads and in any
/// process (measured with 1.7.4: 1 and 2 threads, 4 runs each, one hash).
public struct XGBoostTrainer: Sendable {
    /// Boosting rounds; one tree each.
    public let rounds: Int
    /// The library's own parameters by the library's own names, the seed among them.
    public let parameters: [(name: String, value: String)]
    /// OpenMP threads. 1 unless the machine is the trainer's alone: with both of 2 cores contended, 2 threads took
    /// 2.6 s once and 28 s the next time. More than one wants `OMP_WAIT_POLICY=PASSIVE` in the process's environment.
    public let threads: Int

    /// What one round looked like.
    public struct Round: Sendable, Equatable {
        /// Counted from 1.
        public let number: Int
        /// `train-logloss`, `train-auc`; where a validation part was given, `validation-logloss`, `validation-auc`.
        public let metrics: [(name: String, value: Double)]

        /// Equal when number, names and values are.
        public static func == (left: Round, right: Round) -> Bool {
            left.number == right.number && left.metrics.elementsEqual(right.metrics, by: ==)
        }
    }

    /// How often rounds are measured.
    public enum Measuring: Sendable {
        case never
        /// After every so many rounds, and after the last.
        case every(Int)
    }

    /// A trainer of `rounds` rounds. `parameters` override the defaults `hist`, `binary:logistic`, and never the thread
    /// count.
    public init(rounds: Int, parameters: [(name: String, value: String)], threads: Int = 1) {
        self.rounds = rounds
        self.parameters = parameters
        self.threads = threads
    }

    /// The trained model as XGBoost's JSON. Runs on a thread of its own; `progress` is called there.
    ///
    /// `validation` is measured instead of the training rows and never trained on; it changes no byte of the model.
    /// - Throws: ``ModelFault`` `untrainable` when there are no rows, no columns or only one class; in the library's words
    ///   otherwise. `CancellationError` between two rounds when the task is cancelled.
    public func train(
        _ matrix: TrainingMatrix, validation: TrainingMatrix? = nil, measuring: Measuring = .never,
        progress: @escaping @Sendable (Round) -> Void = { _ in }
    ) async throws -> [UInt8] {
        try Self.check(matrix)
        return try await LibraryThread.run { cancellation in
            try trainBlocking(
                matrix, validation: validation, measuring: measuring, cancellation: cancellation, progress: progress)
        }
    }

    private static func check(_ matrix: TrainingMatrix) throws(ModelFault) {
        guard matrix.rows > 0 else { throw ModelFault(.untrainable, "there are no rows to train on") }
        guard matrix.width > 0 else {
            throw ModelFault(.untrainable, "the features give no columns: every text feature is null in every row")
        }
        let positives = matrix.labels.count { $0 == 1 }
        guard positives > 0, positives < matrix.rows else {
            throw ModelFault(
                .untrainable,
                "all \(matrix.rows) training rows have the \(positives == 0 ? "negative" : "positive") label")
        }
    }

    private func trainBlocking(
        _ matrix: TrainingMatrix, validation: TrainingMatrix?, measuring: Measuring, cancellation: Cancellation,
        progress: (Round) -> Void
    ) throws -> [UInt8] {
        let training = try LibraryMatrix.of(matrix)
        let measured = try LibraryMatrix.of(validation ?? TrainingMatrix(width: matrix.width))
        // What the model holds a cache of is scored tree by tree; other matrices would be scored from the first tree on.
        let matrices = validation == nil ? [training.handle] : [training.handle, measured.handle]
        let name = validation == nil ? "train" : "validation"
        let booster = try LibraryBooster.over(matrices, parameters: settings(measuring))
        for round in 1...max(rounds, 1) {
            try cancellation.check()
            try library(XGBoosterUpdateOneIter(booster.handle, Int32(round - 1), training.handle), "train a round")
            guard case .every(let step) = measuring, round % max(step, 1) == 0 || round == rounds else { continue }
            let metrics = try measure(
                booster.handle, round: round, on: validation == nil ? training.handle : measured.handle, name: name)
            progress(Round(number: round, metrics: metrics))
        }
        var length: bst_ulong = 0
        var bytes: UnsafePointer<CChar>?
        try library(
            XGBoosterSaveModelToBuffer(booster.handle, "{\"format\":\"json\"}", &length, &bytes), "save the model")
        return UnsafeRawBufferPointer(start: bytes, count: Int(length)).map { $0 }
    }

    private func settings(_ measuring: Measuring) -> [(name: String, value: String)] {
        var settings = [
            (name: "booster", value: "gbtree"), ("tree_method", "hist"), ("objective", "binary:logistic"),
            ("verbosity", "0"),
        ]
        settings += parameters.filter { $0.name != "nthread" }
        settings.append(("nthread", String(max(threads, 1))))
        if case .every = measuring { settings += [("eval_metric", "logloss"), ("eval_metric", "auc")] }
        return settings
    }

    private func measure(
        _ booster: BoosterHandle?, round: Int, on matrix: DMatrixHandle?, name: String
    ) throws(ModelFault) -> [(name: String, value: Double)] {
        var matrix = matrix
        var words: UnsafePointer<CChar>?
        let status = name.withCString { name in
            var name: UnsafePointer<CChar>? = name
            return XGBoosterEvalOneIter(booster, Int32(round - 1), &matrix, &name, 1, &words)
        }
        try library(status, "measure a round")
        guard let words else { return [] }
        // "[0]\ttrain-logloss:0.61\ttrain-auc:0.83"
        return String(cString: words).split(separator: "\t").dropFirst().compactMap { part in
            guard let colon = part.lastIndex(of: ":"), let value = Double(part[part.index(after: colon)...]) else {
                return nil
            }
            return (String(part[..<colon]), value)
        }
    }
}
