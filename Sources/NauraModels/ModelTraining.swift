public import NauraRules

/// A frozen training set and all that decides the bytes of the model made from it.
public struct TrainingOrder: Sendable {
    /// The file of the frozen rows.
    public let rowsPath: String
    /// The features in the order of the rows.
    public let inputs: [ModelInput]
    /// The label that counts as positive.
    public let positive: String
    /// Salts the cut of the validation part: the model's name.
    public let salt: String
    /// The parameters of the trees.
    public let parameters: XGBoostParameters
    /// OpenMP threads; changes no byte.
    public let threads: Int

    /// Orders a training.
    public init(
        rowsPath: String, inputs: [ModelInput], positive: String, salt: String, parameters: XGBoostParameters,
        threads: Int = 1
    ) {
        self.rowsPath = rowsPath
        self.inputs = inputs
        self.positive = positive
        self.salt = salt
        self.parameters = parameters
        self.threads = threads
    }
}

/// A trained model and how well it does.
public struct TrainedModel: Sendable {
    /// The package.
    public let package: ModelPackage
    /// `train_auc`, `holdout_logloss` and the like; a metric without a value is absent.
    public let metrics: [String: Double]
    /// Rounds of the final model: fewer than asked for when it stopped early.
    public let rounds: Int
}

/// Trains a model from a frozen set: the built-in trainer from the rows' file to the package.
///
/// Curves of the validation part come from a model of its own that does not see it; the final model is trained on all
/// training rows. The holdout is only scored. Every byte of the package follows from the order and the library's version.
public enum ModelTraining {
    /// A training set up to this size is measured after each round, a larger one at some fifty rounds: enough for a curve.
    static let rowsMeasuredEachRound = 20_000

    /// How far a training is.
    public struct Progress: Sendable, Equatable {
        /// The round, counted from 1, and how many there will be.
        public let round: Int
        public let rounds: Int
        /// Whether this is the model that shows the validation curve, not yet the final one.
        public let isValidating: Bool
        /// `train_auc`, `validation_logloss` and the like.
        public let metrics: [(name: String, value: Double)]

        /// Equal when all parts are.
        public static func == (left: Progress, right: Progress) -> Bool {
            left.round == right.round && left.rounds == right.rounds && left.isValidating == right.isValidating
                && left.metrics.elementsEqual(right.metrics, by: ==)
        }
    }

    /// Trains, and packs the outcome. `progress` is called on the training's own thread.
    ///
    /// - Throws: ``ModelFault``; `CancellationError` when the task is cancelled.
    public static func train(
        _ order: TrainingOrder, progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) async throws -> TrainedModel {
        let prepared = try await LibraryThread.run { try PreparedSet(order, cancellation: $0) }
        let step = prepared.training.rows <= rowsMeasuredEachRound ? 1 : max(1, order.parameters.rounds / 50)
        let rounds = try await validate(order, prepared, step: step, progress)
        let json = try await trainer(order, rounds: rounds).train(
            prepared.training, measuring: order.parameters.validationShare > 0 ? .every(step) : .never
        ) { progress(Progress($0, of: rounds, isValidating: false)) }
        return try await LibraryThread.run { _ in try pack(json, order, prepared, rounds: rounds) }
    }

    /// Trains without the validation part to show how it does there.
    /// - Returns: how many rounds the final model gets.
    private static func validate(
        _ order: TrainingOrder, _ prepared: PreparedSet, step: Int, _ progress: @escaping @Sendable (Progress) -> Void
    ) async throws -> Int {
        let rounds = max(order.parameters.rounds, 1)
        guard let cut = prepared.cut else { return rounds }
        let patience = order.parameters.earlyStoppingRounds
        let (stream, continuation) = AsyncStream.makeStream(of: XGBoostTrainer.Round.self)
        _ = try await trainer(order, rounds: rounds).train(
            cut.training, validation: cut.validation, measuring: .every(patience == nil ? step : 1)
        ) { round in
            continuation.yield(round)
            progress(Progress(round, of: rounds, isValidating: true))
        }
        continuation.finish()
        guard let patience else { return rounds }
        var best = (round: rounds, loss: Double.infinity)
        for await round in stream {
            guard let loss = round.metrics.first(where: { $0.name == "validation-logloss" })?.value else { continue }
            if loss < best.loss { best = (round.number, loss) }
            if round.number - best.round >= patience { break }
        }
        return best.round
    }

    private static func trainer(_ order: TrainingOrder, rounds: Int) -> XGBoostTrainer {
        let parameters = order.parameters
        return XGBoostTrainer(
            rounds: rounds,
            parameters: [
                ("max_depth", String(parameters.maxDepth)), ("eta", String(parameters.learningRate)),
                ("seed", String(parameters.seed)), ("subsample", String(parameters.subsample)),
                ("colsample_bytree", String(parameters.colsampleByTree)),
                ("min_child_weight", String(parameters.minChildWeight)), ("gamma", String(parameters.gamma)),
                ("lambda", String(parameters.lambda)), ("alpha", String(parameters.alpha)),
                ("max_bin", String(parameters.maxBins)),
            ], threads: order.threads)
    }

    private static func pack(
        _ json: [UInt8], _ order: TrainingOrder, _ prepared: PreparedSet, rounds: Int
    ) throws -> TrainedModel {
        let trees = try TreeModel(json: json)
        let training = scores(trees, prepared.training)
        let holdout = scores(trees, prepared.holdout)
        var metrics: [String: Double] = [:]
        for (name, matrix, scores) in [("train", prepared.training, training), ("holdout", prepared.holdout, holdout)] {
            let labels = matrix.labels.map { $0 == 1 }
            for (word, metric) in [("auc", PromotionMetric.rocAUC), ("logloss", .logLoss), ("accuracy", .accuracy)] {
                let value = ScoreMetric.value(metric, labels: labels, scores: scores)
                if value.isFinite { metrics["\(name)_\(word)"] = value }
            }
        }
        // Scores of rows that the trees have seen are more extreme than live ones; they stand in only for a tiny holdout.
        let reference = prepared.reference.reference(scores: holdout.count >= 100 ? holdout : training)
        let package = try ModelPackage(
            model: json, encoder: prepared.encoder, reference: reference, samples: prepared.samples)
        return TrainedModel(package: package, metrics: metrics, rounds: rounds)
    }

    private static func scores(_ trees: TreeModel, _ matrix: TrainingMatrix) -> [Double] {
        matrix.values.withUnsafeBufferPointer { values in
            (0..<matrix.rows).map { row in
                let start = row * matrix.width
                return Double(trees.score(UnsafeBufferPointer(rebasing: values[start..<(start + matrix.width)])))
            }
        }
    }
}

extension ModelTraining.Progress {
    fileprivate init(_ round: XGBoostTrainer.Round, of rounds: Int, isValidating: Bool) {
        self.init(
            round: round.number, rounds: rounds, isValidating: isValidating,
            metrics: round.metrics.map { ($0.name.split(separator: "-").joined(separator: "_"), $0.value) })
    }
}

/// A frozen set, encoded: read twice, so that memory holds numbers and never the rows themselves.
private struct PreparedSet: Sendable {
    let encoder: FeatureEncoder
    let reference: ReferenceFit
    var training: TrainingMatrix
    var holdout: TrainingMatrix
    var cut: (training: TrainingMatrix, validation: TrainingMatrix)?
    var samples: [[CellValue]] = []

    init(_ order: TrainingOrder, cancellation: Cancellation) throws {
        var fit = try FeatureEncoderFit(order.inputs, categoriesMax: order.parameters.categoriesMax)
        var reference = ReferenceFit(order.inputs, categoriesMax: order.parameters.categoriesMax)
        var rows = 0
        try TrainingSetFile.forEachRow(of: order.rowsPath, inputs: order.inputs) { row in
            guard row.side == .training else { return }
            try fit.add(row.values)
            reference.add(row.values)
            rows += 1
            if rows % 1_024 == 0 { try cancellation.check() }
        }
        encoder = try fit.encoder()
        self.reference = reference
        training = TrainingMatrix(width: encoder.width)
        holdout = TrainingMatrix(width: encoder.width)
        training.reserve(rows)
        try encode(order, rows: rows, cancellation: cancellation)
    }

    private mutating func encode(_ order: TrainingOrder, rows: Int, cancellation: Cancellation) throws {
        let empty = TrainingMatrix(width: encoder.width)
        var parts = (training: empty, validation: empty)
        let share = order.parameters.validationShare
        let stride = max(1, rows / (ModelPackage.samplesMax - 2))
        try TrainingSetFile.forEachRow(of: order.rowsPath, inputs: order.inputs) { row in
            let isPositive = row.label == order.positive
            guard row.side == .training else {
                holdout.append(row.values, isPositive: isPositive, encoder: encoder)
                return
            }
            if training.rows % stride == 0 { samples.append(row.values) }
            training.append(row.values, isPositive: isPositive, encoder: encoder)
            if training.rows % 1_024 == 0 { try cancellation.check() }
            guard share > 0 else { return }
            let side = Holdout.side(entityKey: row.key, share: share, salt: "\(order.salt)/validation")
            if side == .holdout {
                parts.validation.append(row.values, isPositive: isPositive, encoder: encoder)
            } else {
                parts.training.append(row.values, isPositive: isPositive, encoder: encoder)
            }
        }
        let hasBoth = [parts.training, parts.validation].allSatisfy { part in
            part.labels.contains(1) && part.labels.contains(0)
        }
        if hasBoth { cut = parts }
    }
}
