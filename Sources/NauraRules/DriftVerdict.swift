/// One column's counts over the bins that were fixed at training: the training set's, and a window's.
public struct ColumnCounts: Sendable, Equatable {
    /// The column.
    public var name: String
    /// Rows of the training set in each bin.
    public var reference: [Int]
    /// Rows of the window in each bin.
    public var current: [Int]

    public init(name: String, reference: [Int], current: [Int]) {
        self.name = name
        self.reference = reference
        self.current = current
    }
}

/// What one column of one window shows.
public struct ColumnDrift: Codable, Sendable, Equatable {
    /// The column.
    public var name: String
    /// The test that was used: `psi` or `chisquare`. With the method `auto` the index, confirmed by the test.
    public var method: String
    /// The index, or the test's chance when the method is `chisquare`.
    public var statistic: Double
    /// What the statistic was held against.
    public var threshold: Double
    /// The chance of so different a window when nothing has changed.
    public var p: Double
    /// Whether the column has drifted; nil when it could not be judged.
    public var isDrifted: Bool?

    public init(name: String, method: String, statistic: Double, threshold: Double, p: Double, isDrifted: Bool?) {
        self.name = name
        self.method = method
        self.statistic = statistic
        self.threshold = threshold
        self.p = p
        self.isDrifted = isDrifted
    }
}

/// What one window shows, all columns together.
public struct DriftJudgement: Codable, Sendable, Equatable {
    /// Each column, in the given order.
    public var columns: [ColumnDrift]
    /// The share of judged columns that have drifted; nil when none was judged.
    public var share: Double?
    /// Whether the window has drifted; nil when it could not be judged, which is no pass.
    public var isDrifted: Bool?

    public init(columns: [ColumnDrift], share: Double?, isDrifted: Bool?) {
        self.columns = columns
        self.share = share
        self.isDrifted = isDrifted
    }
}

/// Whether live traffic has moved away from what a model was trained on.
public enum DriftVerdict {
    /// Judges one window.
    ///
    /// A column has drifted when its index reaches the threshold *and* a test of homogeneity, both sides as samples,
    /// calls the difference significant after division by the number of columns (Bonferroni). The index alone is a
    /// statement about the window's size as much as about drift: with 10 bins and 100 rows it exceeds 0.1 in a third of
    /// all unchanged windows. The test alone calls differences drift, in large windows, that no one would act on.
    ///
    /// - Returns: `isDrifted` nil when the window has fewer than the policy's rows, or no column could be judged.
    public static func judge(_ columns: [ColumnCounts], policy: MonitorPolicy) -> DriftJudgement {
        let significance = policy.significance / Double(max(1, columns.count))
        let judged = columns.map { judge($0, significance, policy) }
        let known = judged.compactMap(\.isDrifted)
        guard !known.isEmpty else { return DriftJudgement(columns: judged, share: nil, isDrifted: nil) }
        let share = Double(known.count { $0 }) / Double(known.count)
        return DriftJudgement(columns: judged, share: share, isDrifted: share >= policy.shareOfColumns && share > 0)
    }

    private static func judge(_ column: ColumnCounts, _ significance: Double, _ policy: MonitorPolicy) -> ColumnDrift {
        let isTest = policy.method == .chisquare
        let threshold = isTest ? significance : policy.psiThreshold
        let rows = column.current.reduce(0, +)
        let isUsable =
            column.reference.count == column.current.count && column.reference.contains { $0 > 0 }
            && rows >= max(1, policy.rowsMin)
        guard isUsable else {
            return ColumnDrift(
                name: column.name, method: isTest ? "chisquare" : "psi", statistic: 0, threshold: threshold, p: 1,
                isDrifted: nil)
        }
        let psi = DriftStatistics.psi(referenceCounts: column.reference, currentCounts: column.current)
        let p = DriftStatistics.chiSquareHomogeneity(
            referenceCounts: column.reference, currentCounts: column.current
        ).p
        let isDrifted: Bool
        switch policy.method {
        case .auto: isDrifted = psi >= policy.psiThreshold && p < significance
        case .psi: isDrifted = psi >= policy.psiThreshold
        case .chisquare: isDrifted = p < significance
        }
        return ColumnDrift(
            name: column.name, method: isTest ? "chisquare" : "psi", statistic: isTest ? p : psi, threshold: threshold,
            p: p, isDrifted: isDrifted)
    }
}

/// Whether an alert stands, over a model's windows in their order: it fires and resolves only after windows in a row, so
/// that one odd window does not tell people twice.
public struct DriftHysteresis: Codable, Sendable, Equatable {
    /// What a window changed.
    public enum Change: String, Codable, Sendable {
        case fired, resolved
    }

    /// Whether the alert stands.
    public var isFiring: Bool
    /// Windows over the limit, in a row, up to now.
    public var windowsOver: Int
    /// Windows under the limit, in a row, up to now.
    public var windowsUnder: Int

    public init(isFiring: Bool = false, windowsOver: Int = 0, windowsUnder: Int = 0) {
        self.isFiring = isFiring
        self.windowsOver = windowsOver
        self.windowsUnder = windowsUnder
    }

    /// Takes the next window's verdict; nil (could not be judged) neither counts nor breaks a row.
    /// - Returns: what changed, if anything did.
    public mutating func observe(_ isDrifted: Bool?, policy: MonitorPolicy) -> Change? {
        guard let isDrifted else { return nil }
        windowsOver = isDrifted ? windowsOver + 1 : 0
        windowsUnder = isDrifted ? 0 : windowsUnder + 1
        if !isFiring, windowsOver >= max(1, policy.fireAfterWindows) {
            isFiring = true
            return .fired
        }
        if isFiring, windowsUnder >= max(1, policy.resolveAfterWindows) {
            isFiring = false
            return .resolved
        }
        return nil
    }
}
