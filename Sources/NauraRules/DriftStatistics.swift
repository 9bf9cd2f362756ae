import Foundation

/// Tests and distances between two samples of one column: what a model was trained on, and what came.
///
/// Missing values and infinities are dropped before (``DriftColumn``). Scores agree with Evidently 0.7.23 and scipy 1.17
/// to 1e-9 on the cases under Tests/NauraRulesTests/Fixtures. The binned distances also take counts over bins that were
/// fixed at training.
public enum DriftStatistics {
    // MARK: Distances between counts over the same bins

    /// The population stability index of two count vectors over the same bins. 0 means equal; dimensionless.
    ///
    /// Σ (p − q)·ln(p/q) over shares. An empty bin's share counts as 0.0001, or as a millionth of the side's smallest
    /// share where that is no larger than 0.0001. Source: Siddiqi, *Credit Risk Scorecards*, 2006.
    /// - Returns: not a number when a side is empty.
    public static func psi(referenceCounts: [Int], currentCounts: [Int]) -> Double {
        let p = smoothed(shares(referenceCounts))
        let q = smoothed(shares(currentCounts))
        return zip(p, q).reduce(0) { $0 + ($1.0 - $1.1) * log($1.0 / $1.1) }
    }

    /// The Kullback–Leibler divergence Σ p·ln(p/q), smoothed as for the index and then made to sum to 1.
    public static func kullbackLeibler(referenceCounts: [Int], currentCounts: [Int]) -> Double {
        let p = smoothed(shares(referenceCounts))
        let q = smoothed(shares(currentCounts))
        let pSum = p.reduce(0, +)
        let qSum = q.reduce(0, +)
        return zip(p, q).reduce(0) { $0 + $1.0 / pSum * log($1.0 / pSum / ($1.1 / qSum)) }
    }

    /// The Jensen–Shannon distance with natural logarithms, from 0 to √ln 2; no smoothing. Source: Lin 1991.
    public static func jensenShannon(referenceCounts: [Int], currentCounts: [Int]) -> Double {
        let sum = zip(shares(referenceCounts), shares(currentCounts)).reduce(0.0) { sum, pair in
            let middle = (pair.0 + pair.1) / 2
            let first = pair.0 > 0 ? pair.0 * log(pair.0 / middle) : 0
            let second = pair.1 > 0 ? pair.1 * log(pair.1 / middle) : 0
            return sum + first / 2 + second / 2
        }
        return max(0, sum).squareRoot()
    }

    /// The Hellinger distance √(1 − Σ√(pq)), from 0 to 1.
    public static func hellinger(referenceCounts: [Int], currentCounts: [Int]) -> Double {
        let overlap = zip(shares(referenceCounts), shares(currentCounts)).reduce(0) { $0 + ($1.0 * $1.1).squareRoot() }
        return (1 - min(max(overlap, 0), 1)).squareRoot()
    }

    // MARK: Tests on counts

    /// Goodness of fit of the current counts to the reference's shares, taken as exact.
    ///
    /// X² = Σ (O − E)²/E with E = reference share · current rows, on K − 1 degrees of freedom. A category new in the
    /// current makes it infinite and the chance 0; a single category has no degree of freedom and gives not a number.
    public static func chiSquareFit(referenceCounts: [Int], currentCounts: [Int]) -> (statistic: Double, p: Double) {
        let rows = Double(currentCounts.reduce(0, +))
        let statistic = zip(shares(referenceCounts), currentCounts).reduce(0.0) { sum, pair in
            let expected = pair.0 * rows
            let difference = Double(pair.1) - expected
            return difference == 0 ? sum : sum + difference * difference / expected
        }
        let freedom = referenceCounts.count - 1
        guard freedom > 0 else { return (statistic, .nan) }
        return (statistic, Numerics.gammaUpper(Double(freedom) / 2, statistic / 2))
    }

    /// Homogeneity of two count vectors over the same bins, both taken as samples.
    ///
    /// Bins in which either side expects fewer than one row are put together (Cochran, *Biometrics* 10, 1954): else one
    /// row of a category never seen would decide alone. What is still too rare then is left out of the sum and judged by
    /// its exact binomial tail, and the chance is twice the smaller of both. With nothing to compare p is 1.
    public static func chiSquareHomogeneity(
        referenceCounts: [Int], currentCounts: [Int]
    ) -> (statistic: Double, p: Double) {
        let sizes = (referenceCounts.reduce(0, +), currentCounts.reduce(0, +))
        guard sizes.0 > 0, sizes.1 > 0 else { return (.nan, .nan) }
        let smaller = Double(min(sizes.0, sizes.1)) / Double(sizes.0 + sizes.1)
        var bins: [(Int, Int)] = []
        var rare = (0, 0)
        for (first, second) in zip(referenceCounts, currentCounts) where first + second > 0 {
            if Double(first + second) * smaller < 1 {
                rare = (rare.0 + first, rare.1 + second)
            } else {
                bins.append((first, second))
            }
        }
        var rareChance: Double?
        if Double(rare.0 + rare.1) * smaller >= 1 {
            bins.append(rare)
        } else if rare.0 + rare.1 > 0 {
            let found = sizes.0 <= sizes.1 ? rare.0 : rare.1
            rareChance = Numerics.binomialUpperTail(found, of: rare.0 + rare.1, share: smaller)
        }
        let (statistic, p) = homogeneity(bins)
        return (statistic, rareChance.map { min(1, 2 * min($0, p)) } ?? p)
    }

    private static func homogeneity(_ bins: [(Int, Int)]) -> (statistic: Double, p: Double) {
        let n1 = Double(bins.reduce(0) { $0 + $1.0 })
        let n2 = Double(bins.reduce(0) { $0 + $1.1 })
        guard bins.count > 1, n1 > 0, n2 > 0 else { return (0, 1) }
        let statistic = bins.reduce(0.0) { sum, bin in
            let total = Double(bin.0 + bin.1)
            let difference = Double(bin.0) - total * n1 / (n1 + n2)
            // Both sides' deviations are equal and opposite.
            return sum + difference * difference * ((n1 + n2) / (total * n1) + (n1 + n2) / (total * n2))
        }
        return (statistic, Numerics.gammaUpper(Double(bins.count - 1) / 2, statistic / 2))
    }

    /// Two proportions, pooled and two-sided: of n₁ and n₂ rows, `first` and `second` have the property. 1 when all or
    /// none have it.
    public static func twoProportions(first: Int, of n1: Int, second: Int, of n2: Int) -> Double {
        let pooled = Double(first + second) / Double(n1 + n2)
        guard pooled > 0, pooled < 1 else { return 1 }
        let spread = (pooled * (1 - pooled) * (1 / Double(n1) + 1 / Double(n2))).squareRoot()
        return 2 * Numerics.normalUpperTail(abs(Double(first) / Double(n1) - Double(second) / Double(n2)) / spread)
    }

    // MARK: On sorted numbers

    /// The Wasserstein distance ∫|F − G| dx over the reference's standard deviation (at least 0.001). Both sorted.
    public static func wasserstein(sortedReference: [Double], sortedCurrent: [Double]) -> Double {
        let n1 = Double(sortedReference.count)
        let n2 = Double(sortedCurrent.count)
        var area = 0.0
        var i = 0
        var j = 0
        var previous = min(sortedReference[0], sortedCurrent[0])
        while i < sortedReference.count || j < sortedCurrent.count {
            let takesReference =
                j >= sortedCurrent.count || (i < sortedReference.count && sortedReference[i] <= sortedCurrent[j])
            let next = takesReference ? sortedReference[i] : sortedCurrent[j]
            area += abs(Double(i) / n1 - Double(j) / n2) * (next - previous)
            previous = next
            if takesReference { i += 1 } else { j += 1 }
        }
        let mean = sortedReference.reduce(0, +) / n1
        let variance = sortedReference.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n1
        return area / max(variance.squareRoot(), 0.001)
    }

    /// The two-sample Anderson–Darling test in its mid-rank form, for samples of at least 4 values in all. Both sorted.
    ///
    /// The chance is read off critical values and clipped to 0.001 … 0.25. Source: Scholz, Stephens, *JASA* 82, 1987.
    /// - Throws: ``RulesError`` (`cannotJudge`) when all values are equal, or there are too few.
    public static func andersonDarling(
        sortedReference: [Double], sortedCurrent: [Double]
    ) throws(RulesError) -> (statistic: Double, p: Double) {
        let pooled = (sortedReference + sortedCurrent).sorted()
        guard pooled.count >= 4, pooled.first != pooled.last else {
            throw RulesError(.cannotJudge, "anderson needs four values that are not all equal")
        }
        let total = Double(pooled.count)
        let sides = [sortedReference, sortedCurrent]
        var sums = [0.0, 0.0]
        var below = [0, 0]
        var start = 0
        while start < pooled.count {
            var end = start
            while end < pooled.count, pooled[end] == pooled[start] { end += 1 }
            let multiplicity = Double(end - start)
            let middle = Double(start) + multiplicity / 2
            let divisor = middle * (total - middle) - total * multiplicity / 4
            for side in 0...1 {
                var equal = 0
                while below[side] + equal < sides[side].count, sides[side][below[side] + equal] == pooled[start] {
                    equal += 1
                }
                let rank = Double(below[side]) + Double(equal) / 2
                let difference = total * rank - Double(sides[side].count) * middle
                sums[side] += multiplicity / total * difference * difference / divisor
                below[side] += equal
            }
            start = end
        }
        let squared = (0...1).reduce(0.0) { $0 + sums[$1] / Double(sides[$1].count) } * (total - 1) / total
        let statistic = (squared - 1) / andersonDeviation(sides.map { Double($0.count) }, total)
        return (statistic, andersonChance(statistic))
    }

    private static func andersonDeviation(_ sizes: [Double], _ total: Double) -> Double {
        let count = Int(total)
        let k = 2.0
        let bigH = sizes.reduce(0) { $0 + 1 / $1 }
        let h = (1..<count).reduce(0.0) { $0 + 1 / Double($1) }
        // g = Σ_{i=1}^{N−2} 1/(N−i) · Σ_{j=i+1}^{N−1} 1/j, its inner sums taken from the last one on.
        var g = 0.0
        var tail = 0.0
        for i in stride(from: count - 2, through: 1, by: -1) {
            tail += 1 / Double(i + 1)
            g += tail / Double(count - i)
        }
        let a = (4 * g - 6) * (k - 1) + (10 - 6 * g) * bigH
        let b = (2 * g - 4) * k * k + 8 * h * k + (2 * g - 14 * h - 4) * bigH - 8 * h + 4 * g - 6
        let c = (6 * h + 2 * g - 2) * k * k + (4 * h - 4 * g + 6) * k + (2 * h - 6) * bigH + 4 * h
        let d = (2 * h + 6) * k * k - 4 * h * k
        let variance = (((a * total + b) * total + c) * total + d) / ((total - 1) * (total - 2) * (total - 3))
        return variance.squareRoot()
    }

    private static func andersonChance(_ statistic: Double) -> Double {
        if statistic < 0.325 { return 0.25 }
        if statistic > 6.546 { return 0.001 }
        // Least squares of ln(significance) on the critical values; computed again, to full precision, from the values.
        return exp(andersonFit[0] * statistic * statistic + andersonFit[1] * statistic + andersonFit[2])
    }

    /// The parabola through (critical value, ln significance) by least squares.
    private static let andersonFit: [Double] = {
        let critical = [0.325, 1.226, 1.961, 2.718, 3.752, 4.592, 6.546]
        let significance = [0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001]
        var rows = (0..<3).map { row in
            (0..<3).map { column in critical.reduce(0) { $0 + power($1, 4 - row - column) } }
                + [zip(critical, significance).reduce(0) { $0 + power($1.0, 2 - row) * log($1.1) }]
        }
        for pivot in 0..<3 {
            for row in 0..<3 where row != pivot {
                let factor = rows[row][pivot] / rows[pivot][pivot]
                for column in pivot..<4 { rows[row][column] -= factor * rows[pivot][column] }
            }
        }
        return (0..<3).map { rows[$0][3] / rows[$0][$0] }
    }()

    private static func power(_ base: Double, _ exponent: Int) -> Double {
        (0..<exponent).reduce(1) { product, _ in product * base }
    }

    // MARK: Shares

    static func shares(_ counts: [Int]) -> [Double] {
        let total = Double(counts.reduce(0, +))
        return counts.map { Double($0) / total }
    }

    private static func smoothed(_ shares: [Double]) -> [Double] {
        let least = shares.filter { $0 > 0 }.min() ?? 1
        let floor = least <= 0.0001 ? least / 1e6 : 0.0001
        return shares.map { $0 == 0 ? floor : $0 }
    }
}
