import Foundation

/// The two-sided two-sample Kolmogorov–Smirnov test.
public enum KolmogorovSmirnov {
    /// Up to this many values on the larger side the chance is exact.
    public static let exactMax = 10_000

    /// The greatest distance between both empirical distributions, and the chance of one at least as great when both
    /// samples come from one distribution. Both samples sorted and not empty; ties are handled.
    public static func test(sortedReference: [Double], sortedCurrent: [Double]) -> (statistic: Double, p: Double) {
        let distance = Distance(sortedReference, sortedCurrent)
        let n1 = sortedReference.count
        let n2 = sortedCurrent.count
        let p = max(n1, n2) <= exactMax ? exact(distance, n1, n2) : asymptotic(distance.value, n1, n2)
        return (distance.value, p)
    }

    /// The chance by the one-sample distribution at n₁n₂/(n₁ + n₂), rounded half to even.
    static func asymptotic(_ value: Double, _ n1: Int, _ n2: Int) -> Double {
        let size = (Double(n1) * Double(n2) / Double(n1 + n2)).rounded(.toNearestOrEven)
        return KolmogorovDistribution.survival(Int(size), value)
    }

    /// The distance as a whole number of 1/lcm(n₁, n₂), so that no rounding decides.
    struct Distance {
        let steps: Int
        let referenceStep: Int
        let currentStep: Int
        let value: Double

        init(_ reference: [Double], _ current: [Double]) {
            let divisor = Self.commonDivisor(reference.count, current.count)
            referenceStep = current.count / divisor
            currentStep = reference.count / divisor
            var i = 0
            var j = 0
            var greatest = 0
            while i < reference.count, j < current.count {
                let value = min(reference[i], current[j])
                while i < reference.count, reference[i] == value { i += 1 }
                while j < current.count, current[j] == value { j += 1 }
                greatest = max(greatest, abs(i * referenceStep - j * currentStep))
            }
            steps = greatest
            value = Double(greatest) / Double(reference.count * referenceStep)
        }

        private static func commonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : commonDivisor(b, a % b) }
    }

    /// The share of lattice paths from (0, 0) to (n₁, n₂) that leave the band |i·s − j·t| < steps.
    ///
    /// B(i, j) = 1 outside the band, else the mean of its two predecessors by i : j; only the band is visited. Without
    /// subtraction, so small chances keep their digits. Source: Hodges, *Arkiv för Matematik* 3, 1958.
    static func exact(_ distance: Distance, _ n1: Int, _ n2: Int) -> Double {
        guard distance.steps > 0 else { return 1 }
        let s = distance.referenceStep
        let t = distance.currentStep
        let band = distance.steps - 1
        // row[j + 1] is B(i, j); what the band has not reached yet is outside, thus 1.
        var row = [Double](repeating: 1, count: n2 + 2)
        return row.withUnsafeMutableBufferPointer { row in
            for i in 0...n1 {
                // j·t ≥ i·s − band, rounded up.
                let low = max(0, i * s - band + t - 1) / t
                let high = min(n2, (i * s + band) / t)
                if low > 0 { row[low] = 1 }
                if low > high { continue }
                for j in low...high {
                    if i == 0, j == 0 {
                        row[1] = 0
                        continue
                    }
                    let left = j == 0 ? 0 : Double(j) * row[j]
                    let above = i == 0 ? 0 : Double(i) * row[j + 1]
                    row[j + 1] = (above + left) / Double(i + j)
                }
            }
            let isEndInside = abs(n1 * s - n2 * t) <= band
            return isEndInside ? row[n2 + 1] : 1
        }
    }
}

/// The distribution of the one-sample, two-sided Kolmogorov–Smirnov distance.
///
/// Methods by region as in Simard, L'Ecuyer, *J. Stat. Software* 39, 2011, and scipy 1.17.
enum KolmogorovDistribution {
    /// P(D ≥ x) for n values.
    static func survival(_ n: Int, _ x: Double) -> Double {
        guard n > 0, x > 0 else { return 1 }
        if x >= 1 { return 0 }
        let t = Double(n) * x
        if t <= 1 {
            if t <= 0.5 { return 1 }
            // Ruben, Gambino: n!·((2t − 1)/n)ⁿ.
            return 1 - exp(Numerics.logGamma(Double(n) + 1) + Double(n) * (log(2 * t - 1) - log(Double(n))))
        }
        if t >= Double(n) - 1 { return 2 * pow(1 - x, Double(n)) }
        let squared = t * x
        if x >= 0.5 || squared >= (n <= 140 ? 4 : 2.2) { return min(1, 2 * oneSided(n, x)) }
        let isMatrix = n <= 140 || (n <= 100_000 && Double(n) * pow(x, 1.5) <= 1.4)
        return min(max(1 - (isMatrix ? matrix(n, x) : PelzGood.cumulative(n, x)), 0), 1)
    }

    /// P(D⁺ ≥ x): Smirnov's sum, its terms by logarithms.
    private static func oneSided(_ n: Int, _ x: Double) -> Double {
        let count = Double(n)
        let last = Int((count * (1 - x)).rounded(.down))
        let whole = Numerics.logGamma(count + 1)
        var sum = 0.0
        for j in 0...last {
            let share = Double(j) / count
            let rest = 1 - x - share
            guard rest > 0 || j == n else { continue }
            let choose = whole - Numerics.logGamma(Double(j) + 1) - Numerics.logGamma(Double(n - j) + 1)
            sum += exp(choose + Double(j - 1) * log(x + share) + Double(n - j) * log(max(rest, 1e-300)))
        }
        return sum * x
    }

    /// P(D < x) by the power of a matrix. Source: Marsaglia, Tsang, Wang, *J. Stat. Software* 8, 2003.
    private static func matrix(_ n: Int, _ x: Double) -> Double {
        let t = Double(n) * x
        let k = Int(t.rounded(.down)) + 1
        let size = 2 * k - 1
        let h = Double(k) - t
        var start = [[Double]](repeating: [Double](repeating: 0, count: size), count: size)
        for i in 0..<size {
            for j in 0..<size where i - j + 1 >= 0 { start[i][j] = 1 }
        }
        for i in 0..<size {
            start[i][0] -= pow(h, Double(i + 1))
            start[size - 1][i] -= pow(h, Double(size - i))
        }
        start[size - 1][0] += 2 * h - 1 > 0 ? pow(2 * h - 1, Double(size)) : 0
        for i in 0..<size {
            for j in 0..<size where i - j + 1 > 0 {
                for g in 1...(i - j + 1) { start[i][j] /= Double(g) }
            }
        }
        let (result, scaled) = power(start, n)
        var exponent = scaled
        var value = result[k - 1][k - 1]
        for i in 1...n {
            value *= Double(i) / Double(n)
            if value < 1e-140 {
                value *= 1e140
                exponent -= 140
            }
        }
        return value * pow(10, Double(exponent))
    }

    private static func power(_ base: [[Double]], _ n: Int) -> ([[Double]], Int) {
        let size = base.count
        var result = (0..<size).map { i in (0..<size).map { $0 == i ? 1.0 : 0 } }
        var resultExponent = 0
        var square = base
        var squareExponent = 0
        var rest = n
        while rest > 0 {
            if rest & 1 == 1 {
                result = product(result, square)
                resultExponent += squareExponent
                scale(&result, &resultExponent)
            }
            rest >>= 1
            guard rest > 0 else { break }
            square = product(square, square)
            squareExponent *= 2
            scale(&square, &squareExponent)
        }
        return (result, resultExponent)
    }

    private static func scale(_ matrix: inout [[Double]], _ exponent: inout Int) {
        guard matrix[matrix.count / 2][matrix.count / 2] > 1e140 else { return }
        for i in matrix.indices { for j in matrix.indices { matrix[i][j] *= 1e-140 } }
        exponent += 140
    }

    private static func product(_ left: [[Double]], _ right: [[Double]]) -> [[Double]] {
        let size = left.count
        var result = [[Double]](repeating: [Double](repeating: 0, count: size), count: size)
        for i in 0..<size {
            for k in 0..<size where left[i][k] != 0 {
                let factor = left[i][k]
                for j in 0..<size { result[i][j] += factor * right[k][j] }
            }
        }
        return result
    }
}

/// The expansion of P(D < x) in powers of 1/√n. Source: Pelz, Good, *J. Royal Statistical Society B* 38, 1976.
private enum PelzGood {
    static func cumulative(_ n: Int, _ x: Double) -> Double {
        let pi2 = Double.pi * Double.pi
        let pi4 = pi2 * pi2
        let root = (2 * Double.pi).squareRoot()
        let z = Double(n).squareRoot() * x
        let z2 = z * z
        let z4 = z2 * z2
        let z6 = z4 * z2
        guard -pi2 / 8 / z2 > -708 else { return 0 }
        let q = exp(-pi2 / 8 / z2)
        let terms = Int((16 * z / Double.pi).rounded(.up))
        var sums = [0.0, 0.0, 0.0, 0.0]
        for k in stride(from: terms, through: 1, by: -1) {
            let m2 = Double((2 * k - 1) * (2 * k - 1))
            let m4 = m2 * m2
            let k3 =
                -30 * z6 - 90 * z4 * z4 + pi2 * (135 * z4 - 96 * z6) / 4 * m2
                + pi4 * (-60 * z2 + 212 * z4) / 16 * m4 + pi4 * pi2 * (5 - 30 * z2) / 64 * m4 * m2
            let k2 = 6 * z6 + 2 * z4 + (2 * z4 - 5 * z2) * pi2 / 4 * m2 + pi4 * (1 - 2 * z2) / 16 * m4
            let factor = pow(q, Double(8 * k))
            for (index, term) in [1, -z2 + pi2 / 4 * m2, k2, k3].enumerated() {
                sums[index] = sums[index] * factor + term
            }
        }
        let divisors = [z, 6 * z4, 72 * z4 * z2 * z, 6_480 * z4 * z6]
        for index in sums.indices { sums[index] *= q * root / divisors[index] }
        let wide = exp(-pi2 / 2 / z2)
        for k in stride(from: terms, through: 1, by: -1) {
            let k2 = Double(k * k)
            let factor = pow(wide, k2)
            sums[2] -= k2 * factor * pi2 * root / (36 * z2 * z)
            sums[3] += (3 * z2 - pi2 * k2) * k2 * factor * pi2 * root / (216 * z6)
        }
        return (0..<4).reduce(0) { $0 + sums[$1] / pow(Double(n), Double($1) / 2) }
    }
}
