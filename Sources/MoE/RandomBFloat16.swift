// Random bf16 arrays as a pure function of seed and index, made at memory speed.

import PerseusPrimitives

/// Fills `out[0 ..< count]` with uniform random bf16 of mean 0 and standard deviation `scale`.
///
/// Element `i` is a function of (`seed`, `i`) alone: a prefix of a longer fill is the shorter fill.
/// One 32-bit hash gives two elements, so that the loop has no dependency between iterations and
/// vectorises.
///
/// - Precondition: `count` is below 2^33 (the hash sees 32 bits of index).
public func fillRandomBFloat16(
    _ out: UnsafeMutablePointer<UInt16>, count: Int, seed: UInt64, scale: Float
) {
    precondition(count >= 0 && count < 1 << 33, "fillRandomBFloat16: count is out of range")
    let keys = RandomKeys(seed)
    let step = randomStep(scale)
    let pairs = count / 2
    let raw = UnsafeMutableRawPointer(out)
    for pair in 0..<pairs {
        let bits = keys.hash(UInt32(truncatingIfNeeded: pair))
        let low = UInt32(randomValue(bits & 0xFFFF, step))
        let high = UInt32(randomValue(bits >> 16, step))
        raw.storeBytes(of: low | high << 16, toByteOffset: pair &* 4, as: UInt32.self)
    }
    if count % 2 == 1 { out[count - 1] = randomBFloat16(count - 1, seed: seed, scale: scale) }
}

/// Element `index` of `fillRandomBFloat16` with the same seed and scale.
public func randomBFloat16(_ index: Int, seed: UInt64, scale: Float) -> UInt16 {
    let bits = RandomKeys(seed).hash(UInt32(truncatingIfNeeded: index / 2))
    return randomValue(index % 2 == 0 ? bits & 0xFFFF : bits >> 16, randomStep(scale))
}

/// The distance between neighbours of 2^16 values whose standard deviation is `scale`.
private func randomStep(_ scale: Float) -> Float {
    // A uniform variable on ±a has the standard deviation a / √3.
    scale * Float(3).squareRoot() / 32768
}

/// The value numbered `bits` of 0 ..< 2^16, symmetric about zero.
@inline(__always)
private func randomValue(_ bits: UInt32, _ step: Float) -> UInt16 {
    let value = (Float(Int32(bitPattern: bits) &- 32768) + 0.5) * step
    // bfloat16(_:) without its NaN branch: the value is finite.
    let pattern = value.bitPattern
    return UInt16(truncatingIfNeeded: (pattern &+ 0x7FFF &+ (pattern >> 16 & 1)) >> 16)
}

/// A keyed 32-bit mixer: two multiply-xorshift rounds with a key before each.
private struct RandomKeys {
    let first: UInt32
    let second: UInt32

    init(_ seed: UInt64) {
        let mixed = SeededRandom.mix(seed)
        first = UInt32(truncatingIfNeeded: mixed)
        second = UInt32(truncatingIfNeeded: mixed >> 32)
    }

    @inline(__always)
    func hash(_ index: UInt32) -> UInt32 {
        var value = index ^ first
        value = (value ^ value >> 16) &* 0x7FEB_352D
        value = (value ^ value >> 15) &+ second
        value = (value ^ value >> 16) &* 0x846C_A68B
        return value ^ value >> 16
    }
}
