// Where an axis begins and ends, and which of its values are named.

import Glibc

/// Range and ticks of one axis; gnuplot's own choice names 1e+06 and starts bars at their shortest value.
struct AxisTicks: Equatable {
    /// A named value.
    struct Tick: Equatable {
        let value: Double
        let label: String
    }

    let lower: Double
    let upper: Double
    let named: [Tick]
    /// Values with a shorter tick and no name.
    let unnamed: [Double]

    /// The axis that shows `values`; on a logarithmic one all of them are above zero.
    ///
    /// - Parameter startsAtZero: whether a linear axis without negative values reaches down to 0.
    init(_ values: [Double], _ scale: Figure.Scale, startsAtZero: Bool) {
        let least = values.min() ?? 0
        let most = values.max() ?? 1
        switch scale {
        case .linear: self.init(linear: least, most, startsAtZero: startsAtZero)
        case .log2: self.init(base2: least, most)
        case .log10: self.init(base10: least, most)
        }
    }

    private init(lower: Double, upper: Double, named: [Tick], unnamed: [Double] = []) {
        self.lower = lower
        self.upper = upper
        self.named = named
        self.unnamed = unnamed
    }

    /// Three to ten steps of 1, 2 or 5 times a power of ten.
    private init(linear least: Double, _ most: Double, startsAtZero: Bool) {
        let bottom = startsAtZero && least >= 0 ? 0 : least
        // One value alone, or zeros alone, still need some room.
        let span = most > bottom ? most - bottom : max(abs(most), 1)
        let power = pow(10, floor(log10(span / 3)))
        let step = power * ([1, 2, 5].last { span / (power * $0) >= 3 } ?? 1)
        // Marks on the edges would be cut; only bars and zeros may stand on the lower one.
        let first = floor((bottom == 0 ? 0 : bottom - span * 0.02) / step)
        let last = max(first + 1, ceil((bottom + span * 1.02) / step))
        let named = (0...Int(last - first)).map { index in
            let multiple = first + Double(index)
            // 3 * 0.1 is not 0.3, but 3 / 10 is.
            let value = power < 1 ? multiple * (step / power) / (1 / power) : multiple * step
            return Tick(value: value, label: AxisTicks.name(value))
        }
        self.init(lower: first * step, upper: last * step, named: named)
    }

    private init(base2 least: Double, _ most: Double) {
        let first = Int(floor(log2(least)))
        let last = max(first + 1, Int(ceil(log2(most))))
        // More than twelve names run into each other.
        let stride = (last - first) / 12 + 1
        let powers = (first...last).map { (exponent: $0, value: exp2(Double($0))) }
        let named = powers.filter { ($0.exponent - first) % stride == 0 }
            .map { Tick(value: $0.value, label: AxisTicks.binaryName($0.value)) }
        let unnamed = powers.filter { ($0.exponent - first) % stride != 0 }.map(\.value)
        self.init(
            lower: powers[0].value, upper: powers[last - first].value, named: named,
            unnamed: unnamed)
    }

    private init(base10 least: Double, _ most: Double) {
        let first = Int(floor(log10(least)))
        let last = Int(floor(log10(most)))
        let values = (first...last + 1).flatMap { exponent in
            (1...9).map { AxisTicks.decimal($0, exponent) }
        }
        let steps = (first...last + 1).flatMap { exponent in
            [1, 2, 5].map { AxisTicks.decimal($0, exponent) }
        }
        let lower = steps.last { $0 <= least } ?? least
        let upper = steps.first { $0 >= most && $0 > lower } ?? most
        // Up to nine names of 1, 2, 5 have room; more decades have it for the powers only.
        let hasRoom = upper / lower <= 500
        let stride = (last - first) / 12 + 1
        let powers = stridePowers(from: first, through: last + 1, by: stride)
        let named = (hasRoom ? steps : powers).filter { lower <= $0 && $0 <= upper }
        self.init(
            lower: lower, upper: upper,
            named: named.map { Tick(value: $0, label: AxisTicks.name($0)) },
            unnamed: values.filter { lower <= $0 && $0 <= upper && !named.contains($0) })
    }

    /// `digit` times ten to `exponent`, rounded once.
    fileprivate static func decimal(_ digit: Int, _ exponent: Int) -> Double {
        Double("\(digit)e\(exponent)") ?? Double(digit) * pow(10, Double(exponent))
    }

    /// `0.25`, `4,096`, `1.25e7`.
    static func name(_ value: Double) -> String {
        if abs(value) >= 1e7 {
            let exponent = floor(log10(abs(value)))
            return plainNumber(value / pow(10, exponent)) + "e\(Int(exponent))"
        }
        guard abs(value) >= 1000, value == value.rounded() else { return plainNumber(value) }
        let last = String(Int(abs(value)) % 1000)
        let zeros = String(repeating: "0", count: 3 - last.count)
        return name((value / 1000).rounded(.towardZero)) + "," + zeros + last
    }

    /// `512`, `4K`, `1M`: powers of 1,024.
    private static func binaryName(_ value: Double) -> String {
        var value = value
        for suffix in ["", "K", "M", "G", "T"] {
            if value < 1024 { return plainNumber(value) + suffix }
            value /= 1024
        }
        return plainNumber(value) + "P"
    }
}

private func stridePowers(from first: Int, through last: Int, by step: Int) -> [Double] {
    stride(from: first, through: last, by: step).map { AxisTicks.decimal(1, $0) }
}
