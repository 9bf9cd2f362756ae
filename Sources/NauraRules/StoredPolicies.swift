// Policies are stored with projects, requests and rollouts, and outlive the program that wrote them: a key that an older
// program did not know takes its default. Writing is left to the compiler, and writes all keys.

extension KeyedDecodingContainer {
    /// The value of `key`, or `fallback` where there is none.
    fileprivate func value<T: Decodable>(_ key: Key, or fallback: T) throws -> T {
        try decodeIfPresent(T.self, forKey: key) ?? fallback
    }
}

extension RolloutPolicy {
    public init(from decoder: any Decoder) throws {
        self.init()
        let stored = try decoder.container(keyedBy: CodingKeys.self)
        steps = try stored.value(.steps, or: steps)
        bakeSeconds = try stored.value(.bakeSeconds, or: bakeSeconds)
        unit = try stored.decodeIfPresent(String.self, forKey: .unit)
        errorMargin = try stored.value(.errorMargin, or: errorMargin)
        slowMargin = try stored.value(.slowMargin, or: slowMargin)
        errorRatio = try stored.value(.errorRatio, or: errorRatio)
        slowRatio = try stored.value(.slowRatio, or: slowRatio)
        slowSeconds = try stored.decodeIfPresent(Double.self, forKey: .slowSeconds)
        harmAlpha = try stored.value(.harmAlpha, or: harmAlpha)
        advanceBeta = try stored.value(.advanceBeta, or: advanceBeta)
        minUnits = try stored.decodeIfPresent(Int.self, forKey: .minUnits)
        warmUpUnits = try stored.value(.warmUpUnits, or: warmUpUnits)
        warmUpSeconds = try stored.value(.warmUpSeconds, or: warmUpSeconds)
        maxStepSeconds = try stored.value(.maxStepSeconds, or: maxStepSeconds)
        holdSeconds = try stored.value(.holdSeconds, or: holdSeconds)
        telemetryIntervalSeconds = try stored.value(.telemetryIntervalSeconds, or: telemetryIntervalSeconds)
        telemetryLostSeconds = try stored.value(.telemetryLostSeconds, or: telemetryLostSeconds)
        errorWeight = try stored.value(.errorWeight, or: errorWeight)
        slowWeight = try stored.value(.slowWeight, or: slowWeight)
    }
}

extension MonitorPolicy {
    public init(from decoder: any Decoder) throws {
        self.init()
        let stored = try decoder.container(keyedBy: CodingKeys.self)
        windowSeconds = try stored.value(.windowSeconds, or: windowSeconds)
        method = try stored.value(.method, or: method)
        shareOfColumns = try stored.value(.shareOfColumns, or: shareOfColumns)
        psiThreshold = try stored.value(.psiThreshold, or: psiThreshold)
        significance = try stored.value(.significance, or: significance)
        rowsMin = try stored.value(.rowsMin, or: rowsMin)
        latenessSeconds = try stored.value(.latenessSeconds, or: latenessSeconds)
        fireAfterWindows = try stored.value(.fireAfterWindows, or: fireAfterWindows)
        resolveAfterWindows = try stored.value(.resolveAfterWindows, or: resolveAfterWindows)
    }
}

extension PromotionPolicy {
    public init(from decoder: any Decoder) throws {
        self.init()
        let stored = try decoder.container(keyedBy: CodingKeys.self)
        metric = try stored.value(.metric, or: metric)
        margin = try stored.value(.margin, or: margin)
        atLeast = try stored.decodeIfPresent(Double.self, forKey: .atLeast)
        slices = try stored.value(.slices, or: slices)
        sliceMargin = try stored.decodeIfPresent(Double.self, forKey: .sliceMargin)
        superior = try stored.value(.superior, or: superior)
        entitiesMin = try stored.value(.entitiesMin, or: entitiesMin)
        bootstrapSeed = try stored.value(.bootstrapSeed, or: bootstrapSeed)
    }
}

extension XGBoostParameters {
    public init(from decoder: any Decoder) throws {
        self.init()
        let stored = try decoder.container(keyedBy: CodingKeys.self)
        rounds = try stored.value(.rounds, or: rounds)
        maxDepth = try stored.value(.maxDepth, or: maxDepth)
        learningRate = try stored.value(.learningRate, or: learningRate)
        seed = try stored.value(.seed, or: seed)
        subsample = try stored.value(.subsample, or: subsample)
        colsampleByTree = try stored.value(.colsampleByTree, or: colsampleByTree)
        minChildWeight = try stored.value(.minChildWeight, or: minChildWeight)
        gamma = try stored.value(.gamma, or: gamma)
        lambda = try stored.value(.lambda, or: lambda)
        alpha = try stored.value(.alpha, or: alpha)
        maxBins = try stored.value(.maxBins, or: maxBins)
        earlyStoppingRounds = try stored.decodeIfPresent(Int.self, forKey: .earlyStoppingRounds)
        validationShare = try stored.value(.validationShare, or: validationShare)
        categoriesMax = try stored.value(.categoriesMax, or: categoriesMax)
    }
}
