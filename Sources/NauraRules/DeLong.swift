/// The area under the ROC curve of two models on the same rows, and the variance of the difference.
///
/// Structural components by midranks: Sun, Xu, *Fast implementation of DeLong's algorithm*, 2014. Rows of one entity are
/// not independent, so components are summed per entity before they are squared: Obuchowski, *Nonparametric analysis of
/// clustered ROC curve data*, Biometrics 53, 1997. With one row an entity this is DeLong, DeLong, Clarke-Pearson, 1988.
public enum DeLong {
    /// Two areas and how sure their difference is.
    public struct Result: Sendable, Equatable {
        /// The candidate's area.
        public let candidate: Double
        /// The other model's area.
        public let other: Double
        /// The variance of candidate − other; 0 when both order all rows alike.
        public let variance: Double
    }

    /// Compares two models' scores, one a row. `entities` numbers each row's entity from 0.
    ///
    /// Needs at least two entities with a positive and two with a negative row; else the variance is infinite.
    public static func compare(labels: [Bool], entities: [Int], candidate: [Double], other: [Double]) -> Result {
        let first = components(labels: labels, scores: candidate)
        let second = components(labels: labels, scores: other)
        let difference = zip(first.values, second.values).map { $0 - $1 }
        return Result(
            candidate: first.area, other: second.area,
            variance: clusteredVariance(labels: labels, entities: entities, components: difference))
    }

    /// The area under the ROC curve: the chance that a positive scores above a negative, ties half. NaN without both.
    public static func area(labels: [Bool], scores: [Double]) -> Double {
        components(labels: labels, scores: scores).area
    }

    /// Each row's structural component: for a positive the share of negatives it beats, for a negative the share of
    /// positives that beat it (ties half). The mean over either class is the area.
    static func components(labels: [Bool], scores: [Double]) -> (area: Double, values: [Double]) {
        let positives = labels.count { $0 }
        let negatives = labels.count - positives
        let order = scores.indices.sorted { scores[$0] < scores[$1] }
        var values = [Double](repeating: 0, count: scores.count)
        var positivesBelow = 0
        var negativesBelow = 0
        var start = 0
        while start < order.count {
            var end = start
            var tiedPositives = 0
            while end < order.count, scores[order[end]] == scores[order[start]] {
                if labels[order[end]] { tiedPositives += 1 }
                end += 1
            }
            let tiedNegatives = end - start - tiedPositives
            let beaten = (Double(negativesBelow) + Double(tiedNegatives) / 2) / Double(negatives)
            let unbeaten = (Double(positivesBelow) + Double(tiedPositives) / 2) / Double(positives)
            for place in start..<end {
                values[order[place]] = labels[order[place]] ? beaten : 1 - unbeaten
            }
            positivesBelow += tiedPositives
            negativesBelow += tiedNegatives
            start = end
        }
        guard positives > 0, negatives > 0 else { return (.nan, values) }
        let sum = zip(labels, values).reduce(0) { $1.0 ? $0 + $1.1 : $0 }
        return (sum / Double(positives), values)
    }

    private static func clusteredVariance(labels: [Bool], entities: [Int], components: [Double]) -> Double {
        let clusters = (entities.max() ?? -1) + 1
        var positiveSums = [Double](repeating: 0, count: clusters)
        var negativeSums = positiveSums
        var positiveRows = positiveSums
        var negativeRows = positiveSums
        for index in labels.indices {
            if labels[index] {
                positiveSums[entities[index]] += components[index]
                positiveRows[entities[index]] += 1
            } else {
                negativeSums[entities[index]] += components[index]
                negativeRows[entities[index]] += 1
            }
        }
        let m = positiveRows.reduce(0, +)
        let n = negativeRows.reduce(0, +)
        let positiveClusters = Double(positiveRows.count { $0 > 0 })
        let negativeClusters = Double(negativeRows.count { $0 > 0 })
        let allClusters = Double((0..<clusters).count { positiveRows[$0] + negativeRows[$0] > 0 })
        guard positiveClusters > 1, negativeClusters > 1 else { return .infinity }
        let positiveMean = positiveSums.reduce(0, +) / m
        let negativeMean = negativeSums.reduce(0, +) / n
        var s10 = 0.0
        var s01 = 0.0
        var s11 = 0.0
        for cluster in 0..<clusters {
            let positive = positiveSums[cluster] - positiveRows[cluster] * positiveMean
            let negative = negativeSums[cluster] - negativeRows[cluster] * negativeMean
            s10 += positive * positive
            s01 += negative * negative
            s11 += positive * negative
        }
        s10 *= positiveClusters / ((positiveClusters - 1) * m)
        s01 *= negativeClusters / ((negativeClusters - 1) * n)
        s11 *= allClusters / (allClusters - 1)
        // Rounding may leave a variance of zero a hair below it.
        return max(0, s10 / m + s01 / n + 2 * s11 / (m * n))
    }
}
