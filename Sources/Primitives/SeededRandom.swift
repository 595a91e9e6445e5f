// The only source of randomness: seeded, splittable, the same on every machine.

/// xoshiro256** seeded by splitmix64. Two generators with equal seeds give equal streams for ever.
@frozen
public struct SeededRandom: Sendable {
    @usableFromInline var state: (UInt64, UInt64, UInt64, UInt64)

    public init(seed: UInt64) {
        var mixer = seed
        func next() -> UInt64 {
            mixer &+= 0x9E37_79B9_7F4A_7C15
            return SeededRandom.mix(mixer)
        }
        state = (next(), next(), next(), next())
    }

    /// An independent stream: `stream` names what it is for, so adding a stream never shifts another.
    public init(seed: UInt64, stream: UInt64) {
        self.init(seed: SeededRandom.mix(seed ^ SeededRandom.mix(stream &+ 0x5851_F42D_4C95_7F2D)))
    }

    /// The finaliser of splitmix64: a bijection that scatters every input bit.
    @inlinable
    public static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// 64 uniform bits.
    @inlinable
    public mutating func next() -> UInt64 {
        let rotated = state.1 &* 5
        let result = ((rotated << 7) | (rotated >> 57)) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = (state.3 << 45) | (state.3 >> 19)
        return result
    }

    /// Uniform in `0 ..< bound`; `bound` must be positive. Bias is below 2^-32 for the bounds used here.
    @inlinable
    public mutating func next(below bound: Int) -> Int {
        precondition(bound > 0, "SeededRandom: bound must be positive")
        return Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// Uniform in [0, 1) with 53 bits.
    @inlinable
    public mutating func nextUnit() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// True with probability `p`.
    @inlinable
    public mutating func chance(_ p: Double) -> Bool {
        nextUnit() < p
    }
}
