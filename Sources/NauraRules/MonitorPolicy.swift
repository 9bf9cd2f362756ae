/// How a model's live traffic is watched.
public struct MonitorPolicy: Codable, Sendable, Equatable {
    /// The length of a window of event time.
    public var windowSeconds: Double
    /// The test a column gets.
    public var method: DriftMethod
    /// The share of columns that must have drifted before the model's traffic has (equality has).
    public var shareOfColumns: Double
    /// The least population stability index of a drifted column.
    public var psiThreshold: Double
    /// The chance of calling any column of an unchanged window drifted, shared among the columns.
    public var significance: Double
    /// A window with fewer rows is not judged.
    public var rowsMin: Int
    /// How long a window stays open for late rows, after its end has been seen.
    public var latenessSeconds: Double
    /// Windows over the limit, in a row, before an alert fires.
    public var fireAfterWindows: Int
    /// Windows under the limit, in a row, before an alert is resolved.
    public var resolveAfterWindows: Int

    enum CodingKeys: String, CodingKey {
        case windowSeconds, method, shareOfColumns, psiThreshold, significance, rowsMin, latenessSeconds,
            fireAfterWindows, resolveAfterWindows
    }

    public init(
        windowSeconds: Double = 3_600, method: DriftMethod = .auto, shareOfColumns: Double = 0.5,
        psiThreshold: Double = 0.1, significance: Double = 0.01, rowsMin: Int = 50, latenessSeconds: Double = 10,
        fireAfterWindows: Int = 1, resolveAfterWindows: Int = 2
    ) {
        self.windowSeconds = windowSeconds
        self.method = method
        self.shareOfColumns = shareOfColumns
        self.psiThreshold = psiThreshold
        self.significance = significance
        self.rowsMin = rowsMin
        self.latenessSeconds = latenessSeconds
        self.fireAfterWindows = fireAfterWindows
        self.resolveAfterWindows = resolveAfterWindows
    }
}

/// Which test a column's windows get.
public enum DriftMethod: String, Codable, Sendable, CaseIterable {
    /// The population stability index over the reference's bins, confirmed by a test of homogeneity.
    case auto
    /// The population stability index alone.
    case psi
    /// The test of homogeneity alone.
    case chisquare
}
