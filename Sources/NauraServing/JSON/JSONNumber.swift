extension JSONReader {
    /// Takes a number: `-0.5e3`, never `+1`, `01`, `.5`, `NaN`.
    ///
    /// Its value is the Double nearest to what is written. Up to 2^53 and powers of ten up to 22 both are exact, so one
    /// multiplication or division rounds once (Clinger, 1990); anything longer goes through the standard library.
    mutating func number() throws(JSONFault) -> Number {
        _ = try peek()
        let start = position
        let isNegative = bytes[position] == 0x2D
        if isNegative { position += 1 }
        var mantissa: UInt64 = 0
        var isExact = true
        let whole = position
        digits(into: &mantissa, isExact: &isExact)
        guard position > whole, bytes[whole] != 0x30 || position == whole + 1 else {
            throw JSONFault(reason: position < bytes.count ? .badNumber : .unexpectedEnd, offset: start)
        }
        var exponent = 0
        var isInteger = true
        if position < bytes.count, bytes[position] == 0x2E {
            isInteger = false
            position += 1
            let fraction = position
            digits(into: &mantissa, isExact: &isExact)
            guard position > fraction else { throw JSONFault(reason: .badNumber, offset: start) }
            exponent = fraction - position
        }
        if position < bytes.count, bytes[position] | 0x20 == 0x65 {
            isInteger = false
            exponent += try self.exponent(of: start)
        }
        let value: Double
        if isExact, mantissa <= 1 << 53, abs(exponent) < powersOfTen.count {
            let magnitude =
                exponent < 0 ? Double(mantissa) / powersOfTen[-exponent] : Double(mantissa) * powersOfTen[exponent]
            value = isNegative ? -magnitude : magnitude
        } else {
            // The text is a number by JSON's grammar, which the standard library's includes.
            value = Double(String(decoding: bytes[start..<position], as: UTF8.self)) ?? .infinity
        }
        return Number(start: start, end: position, value: value, isInteger: isInteger)
    }

    /// Takes digits; `isExact` becomes false when they are too many for 64 bits.
    @inline(__always)
    private mutating func digits(into mantissa: inout UInt64, isExact: inout Bool) {
        while position < bytes.count {
            let digit = bytes[position] &- 0x30
            guard digit < 10 else { return }
            if mantissa > 1_000_000_000_000_000_000 { isExact = false }
            mantissa = mantissa &* 10 &+ UInt64(digit)
            position += 1
        }
    }

    private mutating func exponent(of start: Int) throws(JSONFault) -> Int {
        position += 1
        guard position < bytes.count else { throw JSONFault(reason: .unexpectedEnd, offset: start) }
        let isNegative = bytes[position] == 0x2D
        if isNegative || bytes[position] == 0x2B { position += 1 }
        let first = position
        var exponent = 0
        while position < bytes.count {
            let digit = bytes[position] &- 0x30
            guard digit < 10 else { break }
            // More than any Double has; the slow path reads the text itself.
            if exponent < 100_000 { exponent = exponent * 10 + Int(digit) }
            position += 1
        }
        guard position > first else { throw JSONFault(reason: .badNumber, offset: start) }
        return isNegative ? -exponent : exponent
    }
}

/// 10^0 … 10^22, each exact in a Double.
private let powersOfTen: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
]
