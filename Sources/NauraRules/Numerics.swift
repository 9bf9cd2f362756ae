import Foundation

/// The few special functions that the decisions need.
enum Numerics {
    /// The point below which 95 % of a standard normal variable lies: one-sided 95 % bounds.
    static let normal95 = 1.6448536269514722

    /// The chance that a standard normal variable exceeds `z`.
    static func normalUpperTail(_ z: Double) -> Double { 0.5 * erfc(z / 2.0.squareRoot()) }

    /// Q(a, x), the upper regularised incomplete gamma function, for a > 0 and x ≥ 0.
    ///
    /// By the series below a + 1 and Lentz's continued fraction above. Source: Press et al., *Numerical Recipes*, 6.2.
    static func gammaUpper(_ a: Double, _ x: Double) -> Double {
        if x <= 0 { return 1 }
        if x == .infinity { return 0 }
        let front = exp(a * log(x) - x - logGamma(a))
        if x < a + 1 {
            var term = 1 / a
            var sum = term
            var n = a
            while abs(term) > abs(sum) * 1e-17 {
                n += 1
                term *= x / n
                sum += term
            }
            return max(0, 1 - front * sum)
        }
        let tiny = 1e-300
        var b = x + 1 - a
        var c = 1 / tiny
        var d = 1 / b
        var fraction = d
        for i in 1...100_000 {
            let an = -Double(i) * (Double(i) - a)
            b += 2
            d = an * d + b
            if abs(d) < tiny { d = tiny }
            c = b + an / c
            if abs(c) < tiny { c = tiny }
            d = 1 / d
            let change = d * c
            fraction *= change
            if abs(change - 1) < 1e-16 { break }
        }
        return front * fraction
    }

    /// ln Γ(x) for x > 0 by Stirling's series, shifted to x ≥ 15. The C function writes a global sign and is therefore
    /// not safe on several threads.
    static func logGamma(_ x: Double) -> Double {
        var shifted = x
        var product = 1.0
        while shifted < 15 {
            product *= shifted
            shifted += 1
        }
        let inverse = 1 / (shifted * shifted)
        let series =
            (1.0 / 12 - inverse * (1.0 / 360 - inverse * (1.0 / 1_260 - inverse * (1.0 / 1_680 - inverse / 1_188))))
            / shifted
        return (shifted - 0.5) * log(shifted) - shifted + 0.5 * log(2 * Double.pi) + series - log(product)
    }

    /// The chance of `count` or more successes in `trials`, each with the chance `share`.
    static func binomialUpperTail(_ count: Int, of trials: Int, share: Double) -> Double {
        if count <= 0 { return 1 }
        guard share > 0, count <= trials else { return 0 }
        guard share < 1 else { return 1 }
        let whole = logGamma(Double(trials) + 1)
        return (count...trials).reduce(0.0) { sum, k in
            let choose = whole - logGamma(Double(k) + 1) - logGamma(Double(trials - k) + 1)
            return sum + exp(choose + Double(k) * log(share) + Double(trials - k) * log(1 - share))
        }
    }

    /// ln Σ exp(xᵢ), without overflow; −∞ for no terms.
    static func logSumExp(_ terms: some Collection<Double>) -> Double {
        guard let greatest = terms.max(), greatest > -.infinity else { return -.infinity }
        return greatest + log(terms.reduce(0) { $0 + exp($1 - greatest) })
    }

    /// The `share` quantile of ascending `sorted` (not empty), by linear interpolation at (n − 1)·share.
    static func quantile(_ share: Double, ofSorted sorted: [Double]) -> Double {
        let place = Double(sorted.count - 1) * share
        let low = Int(place)
        guard low + 1 < sorted.count else { return sorted[sorted.count - 1] }
        return sorted[low] + (sorted[low + 1] - sorted[low]) * (place - Double(low))
    }
}
